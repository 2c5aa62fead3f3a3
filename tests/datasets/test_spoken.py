"""Recordings that this machine makes from the `speech` of samples."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_eval import datasets
from speech_eval.audio import Audio, load
from speech_eval.datasets import Dataset, spoken
from speech_eval.datasets.spoken import EDGE, LEVEL, PAUSE, RATE, SPEECH, Part, file_name
from speech_eval.errors import BadInput
from speech_eval.records import DatasetInfo, Sample
from speech_eval.signal.level import active_level

pytest.importorskip("hibari")
pytest.importorskip("espeakng_loader")

US = Part(voice="espeak-ng,voice=en-us", revision="1.52.0", text="The lamp is on the table.")
HEART = Part(voice="hibari", revision="0.2.1", text="Who is speaking?")
INFO = DatasetInfo(name="small", version="1", description="", languages=["en"], license="CC0-1.0", source="here")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "spoken"


def sample(name: str, *parts: Part, **changes: Any) -> Sample:
    given = {"audio": file_name(parts), "metadata": {SPEECH: [part.model_dump() for part in parts]}, **changes}
    return Sample(id=name, text="answer", **given)


def dataset(*samples: Sample) -> Dataset:
    return dataclasses.replace(Dataset.of(INFO, samples, spoken.folder()), spoken=True)


def made(*parts: Part) -> Audio:
    one = dataset(sample("one", *parts))
    one.ensure_audio()
    return load(one.audio_path(file_name(parts)))


def test_speech_is_made_on_first_use_and_only_for_the_samples_asked_for(cache: Path) -> None:
    whole = dataset(sample("a", US), sample("b", HEART), sample("c", HEART, US))
    assert not whole.is_present()
    seen: list[tuple[str, int, int | None]] = []
    limited = whole.subset(1)
    limited.ensure_audio(lambda *state: seen.append(state))
    assert limited.is_present() and len(list(cache.glob("*.wav"))) == 1
    assert seen == [("small: speak", 0, 1), ("small: speak", 1, 1)]
    whole.ensure_audio()
    assert whole.is_present() and datasets.check(whole) == []


def test_a_union_makes_only_what_its_samples_need(cache: Path) -> None:
    both = datasets.union("both", [dataset(sample("a", US), sample("b", HEART)), datasets.load_dataset("sentences-en")])
    limited = dataclasses.replace(both, samples=tuple(s for s in both.samples if s.id == "small-a"))
    limited.ensure_audio()
    assert [path.name for path in cache.glob("*.wav")] == [file_name([US])]
    assert limited.audio_path(limited.samples[0].audio or "").is_file()


@pytest.mark.parametrize("parts", [(US,), (HEART,), (HEART.model_copy(update={"whispered": True}), US)])
def test_the_same_text_and_voice_give_the_same_bytes(parts: tuple[Part, ...], cache: Path) -> None:
    made(*parts)
    file = cache / file_name(parts)
    first = file.read_bytes()
    file.unlink()
    made(*parts)
    assert file.read_bytes() == first


@pytest.mark.parametrize("spoil", [lambda f: f.write_bytes(f.read_bytes()[:2000]), lambda f: f.unlink()])
def test_a_file_that_is_not_as_it_was_made_is_made_again(spoil: Any, cache: Path) -> None:
    made(US)
    file = cache / file_name([US])
    good = file.read_bytes()
    spoil(file)
    made(US)
    assert file.read_bytes() == good


def test_parts_follow_one_another_at_their_levels() -> None:
    first, second = made(US), made(US.model_copy(update={"gain": -16.0}))
    assert first.rate == RATE and active_level(first) == pytest.approx(LEVEL, abs=0.3)
    assert active_level(second) == pytest.approx(active_level(first) - 16.0, abs=0.1)
    both = made(US, US.model_copy(update={"gain": -16.0}))
    length = len(first.samples) - 2 * round(EDGE * RATE)
    assert len(both.samples) == 2 * length + round((PAUSE + 2 * EDGE) * RATE)


CHANGES: list[dict[str, Any]] = [
    {"text": "The lamp is on the floor."},
    {"voice": "espeak-ng,voice=en-us+f2"},
    {"revision": "1.51"},
    {"gain": 1.0},
    {"whispered": True},
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_name_is_a_digest_of_all_that_makes_the_sound(change: dict[str, Any]) -> None:
    assert file_name([US]) != file_name([US.model_copy(update=change)])


def refusal(item: Sample) -> str:
    with pytest.raises(BadInput) as found:
        dataset(item).ensure_audio()
    return f"{found.value.problem} {found.value.remedy}"


def test_a_list_can_name_no_other_model_and_no_other_version() -> None:
    mine = US.model_copy(update={"voice": "mine.py:Voice"})
    assert "mine.py:Voice" in refusal(sample("a", mine))
    old = US.model_copy(update={"revision": "1.49"})
    assert "version 1.49, and version 1.52.0 is installed" in refusal(sample("a", old))


def test_defects_of_a_list_are_named() -> None:
    assert "does not say how" in refusal(sample("a", US, metadata={}))
    assert "speech`: voice: Field" in refusal(sample("a", US, metadata={SPEECH: [{"text": "x", "revision": "1"}]}))
    assert "does not say how" in refusal(sample("a", US, metadata={SPEECH: 5}))
    assert file_name([US]) in refusal(sample("a", US, audio="other.wav"))


def test_the_entry_of_a_catalog_makes_a_manifest_spoken(tmp_path: Path) -> None:
    from speech_eval.datasets import formats
    from speech_eval.datasets.catalog import Entry

    lines = [INFO.line(), sample("a", US).line()]
    (tmp_path / "list.jsonl").write_text("\n".join(lines), "utf-8")
    found = formats.read(tmp_path / "list.jsonl", Entry(manifest=tmp_path / "list.jsonl", spoken=True))
    assert found.spoken and found.sha256 == dataset(sample("a", US)).sha256
    own = datasets.load_dataset(tmp_path / "list.jsonl")  # a path makes nothing: its list is anybody's
    assert not own.spoken and json.loads(lines[1])["audio"] == own.samples[0].audio


def test_a_whisper_has_no_pitch_and_keeps_its_words_in_time() -> None:
    from speech_eval.metrics.codec.pitch import f0

    voiced, whisper = made(US), made(US.model_copy(update={"whispered": True}))
    pitched = [np.mean(f0(audio.samples) > 0) for audio in (voiced, whisper)]
    assert len(voiced.samples) == len(whisper.samples)
    assert pitched[0] > 0.25 and pitched[1] < 0.05
