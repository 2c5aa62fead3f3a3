"""Speakers by their names in the prompt: learned from the column `speaker`, spoken with by the option of that name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("pyarrow")
from support.tiny_speech import save_codec  # noqa: E402
from support.tts_fixture import config, some_codes  # noqa: E402

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.data.token_shards import Shards  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe  # noqa: E402
from speech_eval.reference_models.speech_lm.interface import Utterance  # noqa: E402
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate  # noqa: E402
from speech_eval.reference_models.tts.building import build, load  # noqa: E402
from speech_eval.reference_models.tts.export import tokenizer_of  # noqa: E402
from speech_eval.reference_models.tts.train import train_recipe  # noqa: E402

torch.set_num_threads(1)
TEMPLATE = ("<text-start>", "{speaker}: ", "{text}", "<text-end>", "<speech-start>")


def read(ids: Any) -> str:
    """The bytes of a prompt as characters, without the special tokens around them."""
    return bytes(int(i) - 5 for i in ids if i >= 5).decode()


def test_the_prompt_names_the_speaker_where_there_is_one() -> None:
    tokenizer = build(config("flat", template=TEMPLATE, speakers=("Ann", "Ben"))).tokenizer
    assert read(tokenizer.prompt_ids("Hi", speaker="Ann")) == "Ann: Hi"
    assert read(tokenizer.prompt_ids("Hi")) == "Hi"
    codes = some_codes(tokenizer.config, 3)
    ids, labels = tokenizer.example("Hi", codes, "Ben")
    assert read(ids[: int((labels != -100).argmax())]) == "Ben: Hi"
    assert read(tokenizer.prompt_ids("Hi", "Oh", codes, speaker="Ben")[: len("Ben: Oh Hi") + 3]) == "Ben: Oh Hi"


def test_a_name_is_not_read_as_part_of_the_template() -> None:
    tokenizer = build(config("flat", template=TEMPLATE, speakers=("{text}",))).tokenizer
    assert read(tokenizer.prompt_ids("<pad>", speaker="{text}")) == "{text}: <pad>"


@pytest.mark.parametrize("layout", ["csm", "delay"])
def test_layouts_in_rows_name_the_speaker_too(layout: str) -> None:
    tokenizer = build(config(layout, template=TEMPLATE, speakers=("Ann",))).tokenizer
    assert len(tokenizer.prompt_ids("Hi", speaker="Ann")) == len(tokenizer.prompt_ids("Hi")) + len("Ann: ")


def test_a_name_that_is_no_phoneme_is_spelled() -> None:
    pytest.importorskip("espeakng_loader")
    tokenizer = build(config("flat", frontend="phonemes", template=TEMPLATE, speakers=("Ann", "ann"))).tokenizer
    first, second = (tokenizer.prompt_ids("Hi", speaker=name).tolist() for name in ("Ann", "ann"))
    assert len(first) == len(second) + 1 and first != second


def test_without_a_choice_the_most_frequent_speaker_speaks_unless_a_prompt_tells_the_voice() -> None:
    known = config("flat", template=TEMPLATE, speakers=("Ben", "Ann"))
    assert (known.speaker(), known.speaker("Ann"), known.speaker(prompted=True)) == ("Ben", "Ann", "")
    with pytest.raises(BadInput, match=r"speaker=ann: the model has learned Ben, Ann\. Give one of these"):
        known.speaker("ann")
    with pytest.raises(BadInput, match=r"the model has learned no speaker by name\. Leave the speaker out"):
        config("flat").speaker("Ann")
    many = config("flat", template=TEMPLATE, speakers=tuple(f"s{number}" for number in range(30)))
    with pytest.raises(BadInput, match=r"has learned s0, .*s9, …\. Give"):
        many.speaker("Ann")


def test_the_chat_template_of_an_export_names_the_speaker() -> None:
    model = build(config("flat", template=TEMPLATE, speakers=("Ann",)))
    chat = {"role": "user", "content": "Hi"}
    written = [
        tokenizer_of(model).apply_chat_template([turn], add_generation_prompt=True, return_dict=False)
        for turn in (chat, chat | {"speaker": "Ann"})
    ]
    assert written == [model.tokenizer.prompt_ids("Hi", speaker=name).tolist() for name in ("", "Ann")]


def test_a_template_with_text_and_speaker_in_one_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="a text of its own"):
        config("flat", template=("{speaker}: {text}", "<speech-start>"))


def two_voices(path: Path) -> Path:
    """The same two texts by Ann, who hums low, by Ben, who hums high, and by someone without a name."""
    path.mkdir()
    rows, time = [], np.arange(8000) / 16_000
    for number, (speaker, tone) in enumerate((("Ann", 150), ("Ben", 900), ("Ann", 150), ("Ben", 900), ("", 2000))):
        soundfile.write(path / f"{number}.wav", 0.2 * np.sign(np.sin(2 * np.pi * tone * time)), 16_000)
        said = {"id": str(number), "text": ("One.", "One.", "Two.", "Two.", "One.")[number], "language": "en"}
        rows.append(said | {"file_name": f"{number}.wav", "speaker": speaker, "split": "train"})
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_two_speakers_learned_by_heart_say_the_same_text_in_their_own_codes(tmp_path: Path) -> None:
    parts = {
        "name": "tts/toy",
        "size": "smoke",
        "codec": {"spec": str(save_codec(tmp_path / "codec"))},
        "model": {
            "core": {"type": "llama", "width": 48, "layers": 2, "heads": 2, "feed_forward": 96, "positions": 256},
            "template": TEMPLATE,
        },
        "training": {
            "steps": 150,
            "batch_size": 1,
            "sequence": 256,
            "optimizer": {"learning_rate": 1e-2, "warmup_steps": 10},
            "check": {"utterances": 1, "recognizer": "whisper-tiny.en", "max_wer": 100.0},
        },
        "evaluation": {"task": "seed-tts"},
    }
    said: list[str] = []
    output = tmp_path / "out"
    train_recipe(
        ResolvedRecipe.model_validate(parts), two_voices(tmp_path / "data"), output, force=True, say=said.append
    )
    assert any("prompts name 2 speakers; 1 utterances state none" in line for line in said)
    model, _ = load(output)
    assert model.config.speakers == ("Ann", "Ben")
    shards = Shards(output / "shards")
    learned = {document.speaker: document.codes[0] for document in (shards[i] for i in range(2))}
    for name, codes in learned.items():
        (drawn,) = generate(model, [Utterance("a", "One.", speaker=name)], Sampling(top_k=1))
        right = {other: agreement(drawn.codes[0], theirs) for other, theirs in learned.items()}
        assert right.pop(name) > 0.9 and max(right.values()) < 0.6, right
        speaker = resolve(f"{output},speaker={name},top_k=1").build()
        assert isinstance(speaker, SpeechSynthesizer) and speaker.info().metadata["speaker"] == name
        (audio,) = speaker.synthesize([SynthesisRequest("a", "One.")])
        assert len(audio.samples) == 320 * len(codes)
    with pytest.raises(BadInput, match="speaker=Cid: the model has learned Ann, Ben"):
        resolve(f"{output},speaker=Cid").build()


def agreement(a: Any, b: Any) -> float:
    """The share of equal codes."""
    length = min(len(a), len(b))
    return float((np.asarray(a)[:length] == np.asarray(b)[:length]).mean())
