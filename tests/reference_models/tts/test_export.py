"""Trained models as others load them: directories of transformers, and codecs without the state of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from support.tiny_lms import published, save_lm  # noqa: E402
from support.tiny_speech import codec_of, save_codec, tiny_config, tiny_lm  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import speech_eval  # noqa: E402
from speech_eval.adapters.base import AudioCodec, SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.cli.main import app  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.tts import building  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402

torch.set_num_threads(1)


def checkpoint(folder: Path, core: dict[str, Any] | None = None, **changes: Any) -> Path:
    """An untrained model with its codec, as training writes it."""
    layout = changes.get("layout", "flat")
    codec = save_codec(folder / "codec", layout)
    plain = tiny_config(codec_of(codec), "codec", layout, positions=256).model_dump(mode="json") | changes
    config = TTSConfig.model_validate(plain | ({"core": core} if core else {}))
    model = tiny_lm(config)
    building.save(folder, model, model.state_dict(), {"name": "tiny", "license": "apache-2.0"})
    return folder


def spoken(spec: str | Path) -> np.ndarray[Any, Any]:
    model = resolve(f"{spec},max_seconds=0.5").build()
    assert isinstance(model, SpeechSynthesizer)
    (audio,) = model.synthesize([SynthesisRequest("a", "Hello there.", seed=3)])
    return audio.samples


def variants(folder: Path) -> dict[str, Path]:
    text_llm = {"type": "hub", "name": str(save_lm(folder / "text", 110, [])), "positions": 256}
    family, codec, _ = published("llasa", folder)
    keeps = {"type": "hub", "name": str(family), "family": "llasa", "positions": 256}
    untied = {
        "type": "llama",
        "width": 32,
        "layers": 1,
        "heads": 2,
        "feed_forward": 48,
        "positions": 256,
        "tied": False,
    }
    assert codec
    return {
        "bytes": checkpoint(folder / "a"),
        "phonemes": checkpoint(folder / "b", untied, frontend="phonemes"),
        "interleaved": checkpoint(folder / "c", layout="interleaved"),
        "text LLM": checkpoint(folder / "d", text_llm, frontend="tokenizer"),
        "LLaSA": checkpoint(folder / "e", keeps, frontend="tokenizer"),
    }


@pytest.mark.slow
def test_transformers_loads_what_is_exported_and_it_speaks_the_same(tmp_path: Path) -> None:
    for name, source in variants(tmp_path).items():
        output = tmp_path / "exported" / name
        assert speech_eval.export(source, output) == output
        model, _ = building.load(source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(output)
        lm = transformers.AutoModelForCausalLM.from_pretrained(output)
        said = model.tokenizer.spoken(["Grüß Gott!" if name == "bytes" else "Hello there."])[0]
        expected = model.tokenizer.text_rows(said)
        if name == "LLaSA":
            asked = f"Convert the text to speech:<|TEXT_UNDERSTANDING_START|>{said}<|TEXT_UNDERSTANDING_END|>"
            turns = [("user", asked), ("assistant", "<|SPEECH_GENERATION_START|>")]
            how: dict[str, Any] = {"continue_final_message": True}
        else:
            turns, how = [("user", said)], {"add_generation_prompt": True}
            first = model.tokenizer.first_code
            assert tokenizer.convert_ids_to_tokens([first, first + 3]) == ["<|codes-0-0|>", "<|codes-0-3|>"]
        chat = [{"role": role, "content": content} for role, content in turns]
        assert tokenizer.apply_chat_template(chat, return_dict=False, **how) == expected.tolist(), name
        with torch.inference_mode():
            ids = torch.from_numpy(expected)[None]
            assert torch.equal(lm(input_ids=ids).logits, model.head(model.hidden(ids))), name
        assert lm.generation_config.eos_token_id == model.tokenizer.end
        assert np.array_equal(spoken(output), spoken(source)), name


def test_an_exported_model_can_be_exported_and_trained_on_like_its_source(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a")
    speech_eval.export(speech_eval.export(source, tmp_path / "b"), tmp_path / "c")
    (first, _), (again, _) = building.load(source), building.load(tmp_path / "c")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("core", "layout", "problem"),
    [
        (None, "csm", "no class of transformers computes the layout csm"),
        ({"type": "llama", "width": 32, "layers": 1, "heads": 2, "text_stride": 2.0}, "flat", "core.text_stride: null"),
    ],
)
def test_what_transformers_cannot_compute_is_refused(
    core: dict[str, Any] | None, layout: str, problem: str, tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "a", core, layout=layout)
    with pytest.raises(BadInput, match=problem):
        speech_eval.export(source, tmp_path / "b")


def test_a_codec_is_exported_with_its_card(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", "dac-16k-2k", "-o", str(tmp_path / "codec")])
    assert done.exit_code == 0 and "README.md, model.safetensors, reference.json" in done.output, done.output
    sound = Audio(0.1 * np.sin(np.arange(16_000) / 20).astype(np.float32), 16_000)
    heard = []
    for spec in ("dac-16k-2k", str(tmp_path / "codec")):
        codec = resolve(spec).build()
        assert isinstance(codec, AudioCodec)
        heard.append(codec.decode(codec.encode([sound]))[0].samples)
    assert np.allclose(*heard, atol=1e-5)
    again = CliRunner().invoke(app, ["export", "dac-16k-2k", "-o", str(tmp_path / "codec")])
    assert isinstance(again.exception, BadInput) and "is not empty" in str(again.exception)
    (tmp_path / "file").write_text("mine")
    onto = CliRunner().invoke(app, ["export", "dac-16k-2k", "-o", str(tmp_path / "file")])
    assert isinstance(onto.exception, BadInput) and "is a file" in str(onto.exception)
    assert (tmp_path / "file").read_text() == "mine"


def test_without_a_network_pushing_ends_in_a_line_that_names_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="hf:nobody/nothing: "):
        speech_eval.export("dac-16k-2k", tmp_path / "codec", push_to_hub="nobody/nothing")
