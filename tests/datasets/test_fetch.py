"""Hub datasets: written as manifests from local repositories in the layout of the hub, loaded by name, united."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.data_files import clip, repository

from speech_eval import datasets
from speech_eval.audio import load
from speech_eval.datasets.catalog import catalog
from speech_eval.datasets.fetch import folder_of
from speech_eval.errors import BadInput, MissingExtra, NotFetched

pytest.importorskip("datasets")


def served(monkeypatch: pytest.MonkeyPatch, name: str, **source: object) -> None:
    """Have the catalog's dataset `name` come from another repository."""
    entry = catalog().datasets[name]
    assert entry.hub is not None
    hub = entry.hub.model_copy(update={"rows": None, **source})
    monkeypatch.setitem(catalog().datasets, name, entry.model_copy(update={"hub": hub}))


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
        served(monkeypatch, name, repo=str(repo))


def test_a_set_by_name_has_the_texts_and_the_bytes_of_the_hub(librispeech: None) -> None:
    datasets.fetch("open-asr:librispeech-clean")
    dataset = datasets.load_dataset("open-asr:librispeech-clean")
    assert [sample.text for sample in dataset.samples] == ["HELLO THERE", "GOOD BYE"]
    assert dataset.samples[0].metadata == {"audio_length_s": 0.1, "set": "librispeech-clean"}
    assert dataset.audio_path(dataset.samples[0].audio or "").read_bytes() == clip(0)
    assert dataset.samples[0].audio_sha256 and datasets.check(dataset) == []


def test_what_the_leaderboard_does_not_score_is_left_out_before_a_model_hears_it(librispeech: None) -> None:
    datasets.fetch("open-asr:librispeech-clean")
    texts = {sample.text for sample in datasets.load_dataset("open-asr:librispeech-clean").samples}
    assert texts.isdisjoint({"ignore time segment in scoring", "uh"})


def test_equal_ids_are_told_apart(librispeech: None) -> None:
    datasets.fetch("open-asr:librispeech-clean")
    assert [sample.id for sample in datasets.load_dataset("open-asr:librispeech-clean").samples] == [
        "a.flac",
        "a.flac-3",
    ]


def test_several_sets_are_one_dataset_whose_samples_know_their_set(librispeech: None) -> None:
    both = "open-asr:librispeech-clean,open-asr:librispeech-other"
    datasets.fetch(both)
    dataset = datasets.load_dataset(both)
    assert [sample.metadata["set"] for sample in dataset.samples] == ["librispeech-clean"] * 2 + ["librispeech-other"]
    assert len({sample.id for sample in dataset.samples}) == 3
    dataset.ensure_audio()
    assert load(dataset.audio_path(dataset.samples[2].audio or "")).rate == 16_000
    assert datasets.check(dataset) == []


def test_a_set_that_is_not_here_says_how_to_fetch_it() -> None:
    with pytest.raises(NotFetched, match="speech-eval data fetch open-asr:ami"):
        datasets.load_dataset("open-asr:ami")


def test_what_the_hub_does_not_give_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(monkeypatch, "open-asr:ami", repo=str(tmp_path / "nowhere"))
    with pytest.raises(NotFetched, match="nowhere"):
        datasets.fetch("open-asr:ami")
    assert not folder_of("open-asr:ami").exists()


def test_another_layout_than_the_known_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = repository(tmp_path / "repo", {"test": [{"audio": {"bytes": clip(0), "path": None}, "words": "x"}]}, "ami")
    served(monkeypatch, "open-asr:ami", repo=str(repo))
    with pytest.raises(BadInput, match="no column text or sentence"):
        datasets.fetch("open-asr:ami")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"speech-eval-harness\[hub\]"):
        datasets.fetch("open-asr:ami")


def test_chunks_of_a_call_carry_its_text_and_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"parent_id": "c1", "chunk_index": i, "file_name": f"c1_{i}.wav"} for i in range(2)]
    chunks = repository(tmp_path / "chunked", {"test": rows})
    (chunks / "audio").mkdir()
    for row in rows:
        (chunks / "audio" / str(row["file_name"])).write_bytes(clip(int(row["chunk_index"]), kind="WAV"))
    parents = repository(tmp_path / "parents", {"test": [{"id": "c1", "text": "the whole call"}]})
    name = "open-asr:earnings22-cleaned-aa-chunked"
    served(monkeypatch, name, repo=str(chunks), texts=str(parents))
    datasets.fetch(name)
    samples = datasets.load_dataset(name).samples
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
    served(monkeypatch, "seed-tts-zh", repo=str(repo), revision=None)
    datasets.fetch("seed-tts-zh")
    (sample,) = datasets.load_dataset("seed-tts-zh").samples
    assert (sample.id, sample.text, sample.prompt_text, sample.language) == ("00-11", "说的话。", "提示", "zh")
    assert sample.audio is None and (sample.prompt_audio or "").endswith(".wav")


def test_a_subset_of_voicebench_needs_no_reference_and_keeps_the_columns_that_its_metrics_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "audio": {"bytes": clip(0), "path": None},
        "prompt": "Answer in one line.",
        "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"num_words": 20}],
    }
    repo = repository(tmp_path / "repo", {"test": [row, {**row, "prompt": "Again."}]}, "ifeval")
    served(monkeypatch, "voicebench-ifeval", repo=str(repo))
    datasets.fetch("voicebench-ifeval")
    first, second = datasets.load_dataset("voicebench-ifeval").samples
    assert (first.text, first.prompt_text, second.prompt_text) == (None, "Answer in one line.", "Again.")
    columns = {name: row[name] for name in ("prompt", "instruction_id_list", "kwargs")}
    assert first.metadata == {**columns, "set": "voicebench-ifeval"}


def test_several_splits_of_a_repository_are_one_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalog().datasets["voicebench-mmsu"]
    assert entry.hub is not None
    rows = {
        field: [{"audio": {"bytes": clip(i), "path": None}, "prompt": field, "reference": "A", "id": "0"}]
        for i, field in enumerate(entry.hub.split.split("+"))
    }
    served(monkeypatch, "voicebench-mmsu", repo=str(repository(tmp_path / "repo", rows, "mmsu")))
    datasets.fetch("voicebench-mmsu")
    samples = datasets.load_dataset("voicebench-mmsu").samples
    assert [sample.prompt_text for sample in samples] == list(rows) and len({s.id for s in samples}) == 12
    assert {sample.text for sample in samples} == {"A"}


def test_a_split_of_a_hub_dataset_is_fetched_with_it(librispeech: None) -> None:
    datasets.fetch("open-asr:librispeech-clean@train")
    assert {s.id for s in datasets.load_dataset("open-asr:librispeech-clean@train").samples} <= {"a.flac", "a.flac-3"}
