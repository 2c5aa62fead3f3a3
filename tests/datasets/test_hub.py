"""Sets of the dataset hub: written down from rows in the hub's layout, loaded by name, united."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speech_eval.audio import load
from speech_eval.datasets import dataset as datasets
from speech_eval.datasets import hub
from speech_eval.errors import BadInput, MissingExtra, NotFetched

pytest.importorskip("datasets")


def clip(seed: int, rate: int = 16_000, kind: str = "FLAC") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.random.default_rng(seed).standard_normal(rate // 10), rate, format=kind)
    return buffer.getvalue()


def repository(folder: Path, splits: dict[str, list[dict[str, Any]]], config: str = "default") -> Path:
    """A local folder that `load_dataset` reads like the hub's repository: a card that lists the files of each split."""
    import datasets as library

    folder.mkdir(parents=True)
    files = []
    for split, rows in splits.items():
        table = library.Dataset.from_list(rows)
        for column in ("audio", "ref_audio"):
            if column in table.column_names:
                table = table.cast_column(column, library.Audio(decode=False)).cast_column(column, library.Audio())
        table.to_parquet(folder / f"{split}.parquet")
        files.append(f"  - split: {split}\n    path: {split}.parquet\n")
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{''.join(files)}---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    yield tmp_path / "cache"


@pytest.fixture
def librispeech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two splits of one configuration, as the leaderboard's repository has them."""
    rows = [
        {"audio": {"bytes": clip(i), "path": None}, "text": text, "id": "same/a.flac", "audio_length_s": 0.1}
        for i, text in enumerate(["HELLO THERE", "ignore time segment in scoring", "uh", "GOOD BYE"])
    ]
    repo = repository(tmp_path / "repo", {"test.clean": rows, "test.other": rows[:1]}, "librispeech")
    for kind in ("clean", "other"):
        name = f"open-asr:librispeech-{kind}"
        monkeypatch.setitem(hub.SETS, name, replace(hub.SETS[name], repo=str(repo)))


def test_a_set_by_name_has_the_texts_and_the_bytes_of_the_hub(librispeech: None) -> None:
    hub.ensure("open-asr:librispeech-clean")
    dataset = datasets.load("open-asr:librispeech-clean")
    assert [sample.text for sample in dataset.samples] == ["HELLO THERE", "GOOD BYE"]
    assert dataset.samples[0].metadata == {"audio_length_s": 0.1, "set": "librispeech-clean"}
    assert dataset.audio_path(dataset.samples[0].audio or "").read_bytes() == clip(0)
    assert dataset.samples[0].audio_sha256 and datasets.check(dataset) == []


def test_what_the_leaderboard_does_not_score_is_left_out_before_a_model_hears_it(librispeech: None) -> None:
    hub.ensure("open-asr:librispeech-clean")
    texts = {sample.text for sample in datasets.load("open-asr:librispeech-clean").samples}
    assert texts.isdisjoint({"ignore time segment in scoring", "uh"})


def test_equal_ids_are_told_apart(librispeech: None) -> None:
    hub.ensure("open-asr:librispeech-clean")
    assert [sample.id for sample in datasets.load("open-asr:librispeech-clean").samples] == ["a.flac", "a.flac-3"]


def test_several_sets_are_one_dataset_whose_samples_know_their_set(librispeech: None) -> None:
    both = "open-asr:librispeech-clean,open-asr:librispeech-other"
    hub.ensure(both)
    dataset = datasets.load(both)
    assert [sample.metadata["set"] for sample in dataset.samples] == ["librispeech-clean"] * 2 + ["librispeech-other"]
    assert len({sample.id for sample in dataset.samples}) == 3
    dataset.ensure_audio()
    assert load(dataset.audio_path(dataset.samples[2].audio or "")).rate == 16_000
    assert datasets.check(dataset) == []


def test_a_set_that_is_not_here_says_how_to_fetch_it() -> None:
    with pytest.raises(NotFetched, match="speech-eval data fetch open-asr:ami"):
        datasets.load("open-asr:ami")


def test_what_the_hub_does_not_give_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(hub.SETS, "open-asr:ami", replace(hub.SETS["open-asr:ami"], repo=str(tmp_path / "nowhere")))
    with pytest.raises(NotFetched, match="nowhere"):
        hub.fetch("open-asr:ami")
    assert not hub.folder("open-asr:ami").exists()


def test_another_layout_than_the_known_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = repository(tmp_path / "repo", {"test": [{"audio": {"bytes": clip(0), "path": None}, "words": "x"}]}, "ami")
    monkeypatch.setitem(hub.SETS, "open-asr:ami", replace(hub.SETS["open-asr:ami"], repo=str(repo)))
    with pytest.raises(BadInput, match="no column text or sentence"):
        hub.fetch("open-asr:ami")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"speech-eval-harness\[hub\]"):
        hub.fetch("open-asr:ami")


def test_chunks_of_a_call_carry_its_text_and_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"parent_id": "c1", "chunk_index": i, "file_name": f"c1_{i}.wav"} for i in range(2)]
    chunks = repository(tmp_path / "chunked", {"test": rows})
    (chunks / "audio").mkdir()
    for row in rows:
        (chunks / "audio" / str(row["file_name"])).write_bytes(clip(int(row["chunk_index"]), kind="WAV"))
    parents = repository(tmp_path / "parents", {"test": [{"id": "c1", "text": "the whole call"}]})
    name = "open-asr:earnings22-cleaned-aa-chunked"
    monkeypatch.setitem(hub.SETS, name, replace(hub.SETS[name], repo=str(chunks), parents=str(parents)))
    hub.ensure(name)
    samples = datasets.load(name).samples
    assert [(s.text, s.metadata["parent_id"], s.metadata["chunk_index"]) for s in samples] == [
        ("the whole call", "c1", 0),
        ("the whole call", "c1", 1),
    ]


def test_the_chinese_mirror_of_seed_tts_gives_prompts_and_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "sample_id": "00-11",
        "ref_text": "提示",
        "ref_audio_path": "zh/prompt-wavs/00.wav",
        "target_text": "说的话。",
        "ref_audio": {"bytes": clip(0, kind="WAV"), "path": "00.wav"},
    }
    repo = repository(tmp_path / "arrow", {"en": [row], "zh": [row]})
    source = replace(hub.SETS["seed-tts-zh"], repo=str(repo), revision=None)
    monkeypatch.setitem(hub.SETS, "seed-tts-zh", source)
    hub.ensure("seed-tts-zh")
    (sample,) = datasets.load("seed-tts-zh").samples
    assert (sample.id, sample.text, sample.prompt_text, sample.language) == ("00-11", "说的话。", "提示", "zh")
    assert sample.audio is None and (sample.prompt_audio or "").endswith(".wav")


@pytest.mark.parametrize(("epoch", "sets"), [("A", 8), ("B", 8), ("C", 8), ("D", 7), ("E", 7)])
def test_the_sets_of_each_epoch_have_names(epoch: str, sets: int) -> None:
    group = hub.GROUPS[f"open-asr@{epoch}"]
    assert len(group) == len(set(group)) == sets and set(group) <= hub.SETS.keys()
    assert ("open-asr:tedlium" in group) == (epoch in "ABC")


def test_the_default_sets_are_those_of_the_last_epoch() -> None:
    assert hub.GROUPS["open-asr"] == hub.GROUPS["open-asr@E"]
    assert len(hub.GROUPS["open-asr-multilingual"]) == 13


# ------------------------------------------------------------------------------- Seed-TTS-eval's folder


@pytest.fixture
def testset(tmp_path: Path) -> Path:
    """The benchmark's folder as it is unpacked: four fields, human recordings in `wavs`."""
    root = tmp_path / "seedtts_testset"
    lists = {
        "en/meta.lst": "u|prompt|prompt-wavs/p.wav|Get the trust fund.",
        "zh/meta.lst": "z|提示|prompt-wavs/p.wav|你好。",
    }
    lists["zh/hardcase.lst"] = "h|提示|prompt-wavs/p.wav|四是四，十是十。"
    for path, line in lists.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(line + "\n", encoding="utf-8")
        (root / path).parent.joinpath("prompt-wavs").mkdir(exist_ok=True)
        (root / path).parent.joinpath("prompt-wavs/p.wav").write_bytes(clip(1, kind="WAV"))
    (root / "en/wavs").mkdir()
    (root / "en/wavs/u.wav").write_bytes(clip(2, kind="WAV"))
    return root


@pytest.mark.parametrize("inside", [False, True], ids=["root", "language"])
@pytest.mark.parametrize(("subset", "identity"), [("seed-tts-en", "u"), ("seed-tts-zh", "z"), ("seed-tts-hard", "h")])
def test_a_task_finds_its_list_in_the_folder_of_the_benchmark(
    testset: Path, subset: str, identity: str, inside: bool
) -> None:
    language = "en" if subset == "seed-tts-en" else "zh"
    where = language if inside else ""
    (sample,) = datasets.load(testset / where, subset).samples
    assert (sample.id, sample.language) == (identity, language)
    path = datasets.located(str(testset / where), subset)
    assert datasets.load(path).sha256 == datasets.load(testset / where, subset).sha256


def test_a_recording_named_after_the_utterance_is_the_ground_truth(testset: Path) -> None:
    assert datasets.load(testset / "en").samples[0].audio == "wavs/u.wav"
    assert datasets.load(testset / "zh").samples[0].audio is None


def test_the_fifth_field_is_the_ground_truth_and_the_text_keeps_its_spaces(testset: Path) -> None:
    (testset / "en/meta.lst").write_text("u|prompt|prompt-wavs/p.wav| two  spaces |wavs/u.wav\n", encoding="utf-8")
    (sample,) = datasets.load(testset / "en").samples
    assert (sample.text, sample.audio) == (" two  spaces ", "wavs/u.wav")


def test_an_audio_folder_is_data_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(clip(0, kind="WAV"))
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.wav", "text": "hello"}) + "\n", "utf-8")
    (sample,) = datasets.load(tmp_path).samples
    assert (sample.audio, sample.text) == ("a.wav", "hello")


def test_an_audio_folder_with_a_csv_is_too(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(clip(0, kind="WAV"))
    (tmp_path / "metadata.csv").write_text('file_name,text\na.wav,"hello, you"\n', "utf-8")
    assert datasets.load(tmp_path).samples[0].text == "hello, you"
