"""A dataset: its identity, subsets, splits, and where its files are."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.data_files import HEADER, lines, tone

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.datasets import Dataset
from speech_eval.errors import BadInput, NotFetched
from speech_eval.records import DatasetInfo, Sample


def test_a_subset_is_stable_and_lies_inside_a_larger_one() -> None:
    dataset = datasets.load_dataset("sentences-en")
    ten, twenty = dataset.subset(10), dataset.subset(20)
    assert (len(ten), len(twenty)) == (10, 20)
    assert all(sample in twenty.samples for sample in ten.samples)
    assert (
        ten.samples == dataset.subset(20).subset(10).samples == datasets.load_dataset("sentences-en").subset(10).samples
    )
    assert (ten.limit, ten.sha256 != dataset.sha256) == (10, True)


def test_a_share_of_the_samples_is_the_subset_of_that_size() -> None:
    dataset = datasets.load_dataset("sentences-en")
    assert dataset.subset(0.1).samples == dataset.subset(10).samples
    assert len(dataset.subset(1e-9)) == 1 and dataset.subset(1.0) is dataset
    for share in (0.0, -0.5, 1.5, float("nan")):
        with pytest.raises(BadInput, match="share"):
            dataset.subset(share)


def test_a_limit_at_or_above_the_size_gives_the_whole_dataset() -> None:
    dataset = datasets.load_dataset("librivox-en")
    assert dataset.subset(5) is dataset and dataset.subset(None) is dataset and dataset.limit is None
    with pytest.raises(BadInput):
        dataset.subset(0)


def test_the_identity_of_a_dataset_is_its_samples_and_not_its_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        tone(tmp_path / folder / "a.wav")
        lines(tmp_path / folder / "metadata.jsonl", {"file_name": "a.wav", "text": "hello there"})
    one, two = datasets.load_dataset(tmp_path / "one"), datasets.load_dataset(tmp_path / "two")
    assert one.sha256 == two.sha256
    tone(tmp_path / "two" / "a.wav", scale=0.2)
    assert datasets.load_dataset(tmp_path / "two").sha256 != one.sha256


def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    dataset = Dataset.of(DatasetInfo(**HEADER), [Sample(id="a", text="hello")], tmp_path)
    for path in ("../a.wav", "a/../../b.wav", "/a.wav"):
        with pytest.raises(BadInput, match="leaves its folder"):
            dataset.audio_path(path)


def test_a_path_in_an_asset_is_resolved_there_and_nowhere_else() -> None:
    dataset = datasets.load_dataset("librivox-en")
    dataset.ensure_audio()
    assert dataset.audio_path("librivox-pocketsphinx/fileids").parent == assets.directory("librivox-pocketsphinx")
    with pytest.raises(BadInput, match="in no asset"):
        dataset.audio_path("silero-vad/silero_vad.onnx")


def test_files_that_are_not_there_are_counted_and_named(tmp_path: Path) -> None:
    dataset = datasets.load_dataset(
        lines(tmp_path / "mine.jsonl", *({"id": str(n), "audio": f"{n}.wav"} for n in range(5)))
    )
    with pytest.raises(NotFetched, match=r"5 audio files are not there: 0\.wav, 1\.wav, 2\.wav, \.\.\."):
        dataset.ensure_audio()
    assert not dataset.is_present()


def test_the_two_splits_share_nothing_and_leave_nothing_out() -> None:
    whole, train, kept = (
        datasets.load_dataset(name) for name in ("asterisk-en", "asterisk-en@train", "asterisk-en@held-out")
    )
    assert {s.id for s in train.samples} | {s.id for s in kept.samples} == {s.id for s in whole.samples}
    assert len(train) + len(kept) == len(whole)
    assert 0.08 < len(kept) / len(whole) < 0.18
    assert kept.info.name == "asterisk-en@held-out"


def test_a_sample_stays_in_its_split_when_others_are_added() -> None:
    whole = datasets.load_dataset("asterisk-en")
    part = Dataset.of(whole.info, whole.samples[::3])
    kept = {s.id for s in datasets.split(part, "held-out").samples}
    assert kept == {s.id for s in part.samples if datasets.held_out(s.id)}
