"""The audio LLM that the project trained, on sentences that it was not trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("hibari")

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import (  # noqa: E402
    AudioLanguageModel,
    ChatRequest,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402
from speech_eval.reference_models.audio_llm import building  # noqa: E402
from speech_eval.reference_models.audio_llm.model import Example  # noqa: E402
from speech_eval.reference_models.audio_llm.prompts import Written  # noqa: E402
from speech_eval.reference_models.audio_llm.text_llm import load_llm  # noqa: E402
from speech_eval.reference_models.speech_lm.recognition import Heard, error_rate  # noqa: E402

torch.set_num_threads(1)
SENTENCES = (
    "She was happy to see her father again.",
    "The old man walked to the river.",
    "He gave the children a new book.",
    "They have been working all night.",
    "I want to go home now.",
)


def spoken(text: str) -> Audio:
    voice = modelspec.resolve("hibari").build()
    assert isinstance(voice, SpeechSynthesizer)
    return voice.synthesize([SynthesisRequest("s", text)])[0]


@pytest.mark.slow
def test_sentences_of_common_words_are_heard() -> None:
    model = modelspec.resolve("listen-135m").build()
    assert isinstance(model, SpeechRecognizer) and isinstance(model, AudioLanguageModel)
    audios = [spoken(text).resampled(16_000) for text in SENTENCES]
    requests = [TranscriptionRequest(str(i), lambda audio=audio: audio) for i, audio in enumerate(audios)]  # type: ignore[misc]
    written = model.transcribe(requests)
    heard = [Heard(text, said, "en") for text, said in zip(SENTENCES, written, strict=True)]
    assert error_rate(heard) < LIMIT, heard
    assert model.transcribe(requests[4:]) == written[4:]  # beside longer ones it has no more room than alone
    asked = [{"role": "user", "content": [{"type": "audio", "audio": audios[0]}]}]
    assert model.reply([ChatRequest("q", asked, max_new_tokens=4)])[0].text


def test_it_comes_with_the_package_without_encoder_and_llm() -> None:
    folder: Path = CHECKPOINTS / "listen-135m"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 22e6
    assert "No recorded speech" in (folder / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_text_without_audio_is_read_by_the_base_llm_bit_for_bit() -> None:
    model, _ = building.load(CHECKPOINTS / "listen-135m")
    ids = model.prompter.spoken_ids("The gate is shut where nothing is heard.")
    base = load_llm(model.config.llm).model
    with torch.no_grad():
        wanted = base(inputs_embeds=model.embed(ids)[None]).logits
        gated = model.run(model.rows([Example("t", (Written(ids),))]))
        model.gate.always = True
        plain = model.run(model.rows([Example("t", (Written(ids),))]))
    assert torch.equal(gated, wanted) and not torch.allclose(plain, wanted, atol=1e-2)


@pytest.mark.parametrize("dim", [[1], 0, -3, 10**13, "512", None])
def test_a_width_that_is_none_is_named(dim: object, tmp_path: Path) -> None:
    folder = shutil.copytree(CHECKPOINTS / "listen-135m", tmp_path / "model")
    described = json.loads((folder / "reference.json").read_text("utf-8"))
    described["config"]["dim"] = dim
    (folder / "reference.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match=r"'dim': .* is not a width of features"):
        modelspec.resolve(str(folder)).build()


@pytest.mark.parametrize(
    ("part", "key", "value", "named"),
    [
        ("fusion", "hidden", 10**9, "belong to another configuration .size mismatch"),
        ("fusion", "fold", 10**8, "belong to another configuration .size mismatch"),
        ("adapt", "rank", 10**9, "its LoRA has not the rank 1000000000"),
    ],
)
def test_a_width_that_the_weights_do_not_have_takes_no_memory(
    part: str, key: str, value: int, named: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(CHECKPOINTS / "listen-135m", folder)
    described = json.loads((folder / "reference.json").read_text("utf-8"))
    described["config"][part][key] = value
    (folder / "reference.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match=named):
        building.load(folder)


def test_an_option_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(BadInput, match=r"there is no option 'reding'\. Did you mean reading\?"):
        modelspec.resolve("listen-135m,reding=ctc").build()
    with pytest.raises(BadInput, match=r"needs the option 'path'\. Write thinker-talker,path="):
        modelspec.resolve("thinker-talker").build()


LIMIT = 0.45
