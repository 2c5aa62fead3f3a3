"""The one door to training data: what it takes, what it leaves out by name, and when it looks again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech_eval import datasets
from speech_eval.audio import Audio, flac_bytes
from speech_eval.errors import BadInput
from speech_eval.reference_models.data import inspection
from speech_eval.reference_models.data.corpus import Corpus, open_corpus
from speech_eval.reference_models.data.prepare import prepare

RATE = 16_000


def tone(seconds: float = 0.5, level: float = 0.5, rate: int = RATE) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    return Audio((level * np.sin(2 * np.pi * 220 * time)).astype(np.float32), rate)


def folder(place: Path, audios: dict[str, Audio | bytes | None], rows: dict[str, dict[str, Any]] | None = None) -> Path:
    """An AudioFolder of these recordings; None writes no file."""
    place.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, audio in audios.items():
        if audio is not None:
            (place / name).write_bytes(flac_bytes(audio) if isinstance(audio, Audio) else audio)
        row = {"file_name": name, "text": f"Sentence {Path(name).stem}.", "language": "en", "split": "train"}
        lines.append(json.dumps(row | (rows or {}).get(name, {})))
    (place / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return place


def opened(data: Path | str, **options: Any) -> tuple[Corpus, list[str]]:
    said: list[str] = []
    return open_corpus(data, say=said.append, **options), said


def test_each_recording_that_cannot_be_used_is_named_with_its_reason_and_counted(tmp_path: Path) -> None:
    audios = {
        "fine.flac": tone(),
        "silent.flac": tone(level=0.0),
        "click.flac": tone(0.04),
        "text.flac": b"not audio",
        "cut.flac": flac_bytes(tone(2.0))[:900],
        "gone.flac": None,
    }
    corpus, said = opened(folder(tmp_path, audios))
    assert [clip.id for clip in corpus.training()] == ["fine"]
    kinds = {item.clip: item.kind for item in corpus.left_out}
    assert kinds == {
        "silent": "silent",
        "click": "short",
        "text": "unreadable",
        "cut": "unreadable",
        "gone": "unreadable",
    }
    assert "left out click (short): it lasts 0.040 s, less than 0.1 s" in said
    assert "left out gone (unreadable): gone.flac: no such audio file" in said
    assert said[-1] == "left out 5 of 6 recordings: 3 unreadable, 1 silent, 1 short"


def test_on_bad_data_stop_ends_before_anything_is_computed(tmp_path: Path) -> None:
    data = folder(tmp_path, {"fine.flac": tone(), "silent.flac": tone(level=0.0)})
    with pytest.raises(BadInput, match=r"silent: its peak is 0\.0e\+00 .*on_bad_data: skip"):
        open_corpus(data, on_bad="stop")


def test_nothing_left_says_why(tmp_path: Path) -> None:
    corpus, _ = opened(folder(tmp_path / "mine", {"a.flac": tone(level=0.0), "b.flac": None}))
    with pytest.raises(BadInput, match=r"mine has no recording to train on .*1 silent, 1 unreadable, such as a:"):
        corpus.training()


def test_channels_are_mixed_and_any_format_is_read(tmp_path: Path) -> None:
    import soundfile

    from speech_eval.reference_models.data.segments import read

    data = folder(tmp_path, {"stereo.wav": b"", "voice.mp3": b"", "phone.wav": b""})
    left, right = tone(1.0).samples, tone(1.0, level=0.25).samples
    soundfile.write(data / "stereo.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    soundfile.write(data / "voice.mp3", left, RATE)
    soundfile.write(data / "phone.wav", left, RATE, subtype="GSM610")
    stereo, compressed, phone = opened(data)[0].training()
    assert stereo.seekable and not compressed.seekable and not phone.seekable
    part = read(stereo, 0.25, 0.5)
    assert np.allclose(part.samples, (left + right)[4000:12000] / 2, atol=1e-6)
    assert read(compressed, 0.25, 0.5).seconds == read(phone, 0.25, 0.5).seconds == 0.5


def test_a_csv_with_a_mark_and_empty_texts_is_speech_for_a_codec(tmp_path: Path) -> None:
    folder(tmp_path, {"a.flac": tone(), "b.flac": tone()})
    (tmp_path / "metadata.jsonl").unlink()
    with (tmp_path / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([("file_name", "text", "split"), ("a.flac", "", "train"), ("b.flac", "", "train")])
    for data in (tmp_path, tmp_path / "metadata.csv"):
        corpus, _ = opened(data)
        assert [clip.id for clip in corpus.training()] == ["a", "b"] and corpus.speakable("train") == []


def test_a_dataset_is_opened_by_name_with_its_license(tmp_path: Path) -> None:
    corpus, _ = opened("asterisk-it@train")
    held_out, _ = opened("asterisk-it@held-out")
    assert corpus.name == "asterisk-it@train" and corpus.folder is None
    assert set(corpus.licenses.values()) == {"CC-BY-SA-3.0"} or set(corpus.licenses.values()) == {"CC-BY-3.0"}
    assert {clip.split for clip in corpus.clips} == {"train"} and {clip.split for clip in held_out.clips} == {
        "held-out"
    }


@pytest.mark.parametrize(
    ("stated", "split"),
    [
        ("train-clean-100", "train"),
        ("Training", "train"),
        ("dev_other", "held-out"),
        ("test", "held-out"),
        ("validation", "held-out"),
        ("held_out", "held-out"),
        ("held-out-speaker", "held-out-speaker"),
    ],
)
def test_splits_of_other_names_are_understood(stated: str, split: str, tmp_path: Path) -> None:
    corpus, _ = opened(folder(tmp_path, {"a.flac": tone()}, {"a.flac": {"split": stated}}))
    assert [clip.split for clip in corpus.clips] == [split]


def test_a_split_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    data = folder(tmp_path, {"a.flac": tone(), "b.flac": tone()}, {"b.flac": {"split": "trian"}})
    with pytest.raises(BadInput, match=r"1 samples, such as b, have an unknown split: 'trian'"):
        open_corpus(data)


def test_of_a_folder_of_splits_the_training_split_is_learned_and_another_validates(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2), ("validation", 1)):
        folder(tmp_path / split, {f"{split}{number}.flac": tone() for number in range(count)})
        rows = [json.loads(line) for line in (tmp_path / split / "metadata.jsonl").read_text().splitlines()]
        for row in rows:
            del row["split"]
        (tmp_path / split / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus, _ = opened(tmp_path)
    assert sorted(clip.id for clip in corpus.split("train")) == ["train0", "train1", "train2"]
    assert [clip.id for clip in corpus.split("held-out")] == ["validation0"]
    assert {sample.id for sample in datasets.load_dataset(tmp_path).samples} == {"test0", "test1"}  # to evaluate


def test_the_check_is_kept_until_a_recording_or_a_text_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, output = folder(tmp_path / "data", {"a.flac": tone(), "b.flac": tone(level=0.0)}), tmp_path / "out"
    read: list[str] = []
    load = inspection.load
    monkeypatch.setattr(inspection, "load", lambda path: read.append(path.name) or load(path))
    first, _ = opened(data, output=output)
    again, said = opened(data, output=output)
    assert sorted(read) == ["a.flac", "b.flac"] and again == first and len(said) == 3
    (data / "b.flac").write_bytes(flac_bytes(tone()))
    mended, _ = opened(data, output=output)
    assert [clip.id for clip in mended.training()] == ["a", "b"] and mended.sha256 != first.sha256
    folder(data, {"a.flac": tone(), "b.flac": tone()}, {"a.flac": {"text": "Another."}})
    assert opened(data, output=output)[0].sha256 != mended.sha256


def test_a_recording_that_differs_from_its_stated_digest_is_left_out(tmp_path: Path) -> None:
    data = folder(tmp_path, {"a.flac": tone(), "b.flac": tone()}, {"b.flac": {"audio_sha256": "0" * 64}})
    corpus, _ = opened(data)
    assert [item.clip for item in corpus.left_out] == ["b"] and "sha256" in corpus.left_out[0].reason


def test_a_source_or_a_held_out_source_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No source is named asterisk-itt"):
        prepare(tmp_path, ("asterisk-en",), "asterisk-itt", limit=1)
