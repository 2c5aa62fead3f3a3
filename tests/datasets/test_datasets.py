"""Datasets: what loads, what is refused and where, and what identifies a dataset."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.assets import store as assets
from speech_eval.cache import file_sha256
from speech_eval.datasets import dataset as datasets
from speech_eval.datasets.dataset import Dataset
from speech_eval.errors import BadInput, NotFetched, UnknownName
from speech_eval.records import DatasetInfo, Sample

HEADER = {
    "name": "mine",
    "version": "1",
    "description": "two clips",
    "languages": ["en"],
    "license": "CC0-1.0",
    "source": "a test",
}


def tone(path: Path, rate: int = 16000, scale: float = 0.1, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = scale * np.sin(np.arange(rate // 10) * 0.2)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
    return path


def lines(path: Path, *rows: object) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(text + "\n", encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------- bundled


@pytest.mark.parametrize("name", datasets.names())
def test_a_bundled_manifest_states_its_license_and_pins_its_audio(name: str) -> None:
    dataset = datasets.load(name)
    assert dataset.info.name == name and dataset.info.license and dataset.info.source
    assert {sample.language for sample in dataset.samples} == set(dataset.info.languages)
    for path, sha256 in dataset.audio_files().items():
        asset, _, file = path.partition("/")
        assert asset in dataset.info.assets and assets.ASSETS[asset].files[file] == sha256


@pytest.mark.parametrize("name", [name for name in datasets.names() if name.startswith("asterisk")])
def test_prompts_say_in_words_what_is_spoken(name: str) -> None:
    texts = [sample.text or "" for sample in datasets.load(name).samples]
    assert len(texts) > 150
    assert not [text for text in texts if re.search(r"[\d\[\]()<>*#]", text) or len(text.split()) < 2]


def test_sentences_are_a_hundred_different_ones_with_rotating_prompts() -> None:
    samples = datasets.load("sentences-en").samples
    assert len({sample.text for sample in samples}) == 100
    assert all(6 <= len((sample.text or "").split()) <= 20 for sample in samples)
    assert len({sample.prompt_audio for sample in samples}) == 5
    assert all(sample.prompt_text for sample in samples)


def test_the_pip_only_set_has_the_audio_its_manifest_promises() -> None:
    dataset = datasets.load("librivox-en")
    dataset.ensure_audio()
    assert dataset.is_present() and datasets.check(dataset) == []


def test_speech_en_is_another_name_of_the_english_prompts() -> None:
    assert datasets.load("speech-en").sha256 == datasets.load("asterisk-en").sha256
    assert datasets.fallback("speech-en") == datasets.fallback("asterisk-en") == "librivox-en"
    assert datasets.fallback("asterisk-fr") is None


def test_a_summary_is_plain_data() -> None:
    summary = datasets.summary("librivox-en")
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["n"], summary["languages"], summary["seconds"]) == (5, ["en"], 24.7)
    assert datasets.summary("sentences-en")["seconds"] is None


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="librivox-en"):
        datasets.load("librispeech-en")


# ---------------------------------------------------------------------------------------------- identity and subsets


def test_a_subset_is_stable_and_lies_inside_a_larger_one() -> None:
    dataset = datasets.load("sentences-en")
    ten, twenty = dataset.subset(10), dataset.subset(20)
    assert (len(ten), len(twenty)) == (10, 20)
    assert all(sample in twenty.samples for sample in ten.samples)
    assert ten.samples == dataset.subset(20).subset(10).samples == datasets.load("sentences-en").subset(10).samples
    assert (ten.limit, ten.sha256 != dataset.sha256) == (10, True)


def test_a_limit_at_or_above_the_size_is_no_subset() -> None:
    dataset = datasets.load("librivox-en")
    assert dataset.subset(5) is dataset and dataset.subset(None) is dataset and dataset.limit is None
    with pytest.raises(BadInput):
        dataset.subset(0)


def test_the_identity_of_a_dataset_is_its_samples_and_not_its_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        tone(tmp_path / folder / "a.wav")
        lines(tmp_path / folder / "metadata.jsonl", {"file_name": "a.wav", "text": "hello there"})
    one, two = datasets.load(tmp_path / "one"), datasets.load(tmp_path / "two")
    assert one.sha256 == two.sha256
    tone(tmp_path / "two" / "a.wav", scale=0.2)
    assert datasets.load(tmp_path / "two").sha256 != one.sha256


# ---------------------------------------------------------------------------------------------- one's own files


def test_a_folder_with_metadata_jsonl_loads(tmp_path: Path) -> None:
    wav = tone(tmp_path / "clips" / "a.wav")
    tone(tmp_path / "prompt.wav")
    row = {"file_name": "clips/a.wav", "text": "hello", "language": "fr", "speaker": "s1", "accent": "Breton"}
    lines(tmp_path / "metadata.jsonl", row | {"prompt_file_name": "prompt.wav", "prompt_text": "bonjour"})
    dataset = datasets.load(tmp_path)
    sample = dataset.samples[0]
    assert (sample.id, sample.text, sample.language, sample.speaker) == ("clips-a", "hello", "fr", "s1")
    assert (sample.prompt_audio, sample.prompt_text) == ("prompt.wav", "bonjour")
    assert sample.audio_sha256 == file_sha256(wav) and sample.metadata == {"accent": "Breton"}
    assert dataset.audio_path("clips/a.wav") == wav and datasets.check(dataset) == []


def test_a_folder_with_metadata_csv_loads(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    lines(tmp_path / "metadata.csv", "file_name,text,language", 'a.wav,"hello, there",')
    sample = datasets.load(tmp_path).samples[0]
    assert (sample.text, sample.language) == ("hello, there", "en")


def test_a_csv_line_with_a_field_too_many_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "metadata.csv", "file_name,text", "a.wav,hello, there")
    with pytest.raises(BadInput, match=r"metadata\.csv:2: .*header"):
        datasets.load(path)


def test_a_manifest_with_a_header_loads(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", HEADER, {"id": "a", "text": "line\u2028separators stay"}, "", {"id": "b"})
    dataset = datasets.load(path)
    assert dataset.info.name == "mine" and [sample.id for sample in dataset.samples] == ["a", "b"]


def test_a_manifest_without_a_header_is_named_after_its_file(tmp_path: Path) -> None:
    info = datasets.load(lines(tmp_path / "mine.jsonl", {"id": "a", "text": "hello", "language": "de"})).info
    assert (info.name, info.languages, info.license) == ("mine", ["de"], "unknown")


def test_a_seed_tts_list_of_four_and_five_fields_loads(tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    path = tmp_path / "zh" / "meta.lst"
    lines(path, "u1|prompt words|prompt-wavs/p.wav|text to say", "u2|prompt|p.wav|more text|wavs/u2.wav")
    first, second = datasets.load(path).samples
    assert (first.id, first.text, first.prompt_text) == ("u1", "text to say", "prompt words")
    assert (first.prompt_audio, first.audio, first.language) == ("prompt-wavs/p.wav", None, "zh")
    assert second.audio == "wavs/u2.wav"
    with pytest.raises(BadInput, match=r"meta\.lst:1: 2 fields"):
        datasets.load(lines(path, "u1|text"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"id": "a", "text": ', "not a JSON record"),
        ("[1, 2]", "not a JSON object"),
        ('{"text": "no id"}', "field 'id'"),
        ('{"id": "a", "txt": "hello"}', "field 'txt'"),
        ('{"id": "a", "text": "  "}', "the text is empty"),
        ('{"id": "first", "text": "hello"}', "already on line 1"),
        ('{"id": "a", "audio": "../secret.wav"}', "leaves its folder"),
        ('{"id": "a", "prompt_audio": "/etc/passwd"}', "leaves its folder"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, row: str, problem: str) -> None:
    path = lines(tmp_path / "mine.jsonl", {"id": "first", "text": "hello"}, row)
    with pytest.raises(BadInput, match=rf"mine\.jsonl:2: .*{problem}") as caught:
        datasets.load(path)
    assert caught.value.remedy


def test_text_that_is_not_utf8_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(b'{"id": "a"}\n{"id": "b", "text": "caf\xe9"}\n')
    with pytest.raises(BadInput, match=r"mine\.jsonl:2: .*UTF-8"):
        datasets.load(tmp_path / "mine.jsonl")


def test_a_dataset_without_samples_and_a_folder_without_metadata_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no samples"):
        datasets.load(lines(tmp_path / "mine.jsonl", HEADER))
    with pytest.raises(BadInput, match=r"metadata\.jsonl"):
        datasets.load(tmp_path)


# ---------------------------------------------------------------------------------------------- audio


def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    dataset = Dataset.of(DatasetInfo(**HEADER), [Sample(id="a", text="hello")], tmp_path)
    for path in ("../a.wav", "a/../../b.wav", "/a.wav"):
        with pytest.raises(BadInput, match="leaves its folder"):
            dataset.audio_path(path)


def test_a_path_in_an_asset_is_resolved_there_and_nowhere_else() -> None:
    dataset = datasets.load("librivox-en")
    dataset.ensure_audio()
    assert dataset.audio_path("librivox-pocketsphinx/fileids").parent == assets.directory("librivox-pocketsphinx")
    with pytest.raises(BadInput, match="in no asset"):
        dataset.audio_path("silero-vad/silero_vad.onnx")


def test_files_that_are_not_there_are_counted_and_named(tmp_path: Path) -> None:
    dataset = datasets.load(lines(tmp_path / "mine.jsonl", *({"id": str(n), "audio": f"{n}.wav"} for n in range(5))))
    with pytest.raises(NotFetched, match=r"5 audio files are not there: 0\.wav, 1\.wav, 2\.wav, \.\.\."):
        dataset.ensure_audio()
    assert not dataset.is_present()


def test_the_check_finds_each_kind_of_bad_audio(tmp_path: Path) -> None:
    tone(tmp_path / "good.wav")
    tone(tmp_path / "stereo.wav", channels=2)
    tone(tmp_path / "silent.wav", scale=0.0)
    tone(tmp_path / "slow.wav", rate=4000)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("not audio")
    names = ("good", "stereo", "silent", "slow", "nan", "text", "absent")
    rows = [{"id": name, "audio": f"{name}.wav"} for name in names]
    lines(tmp_path / "mine.jsonl", *rows, {"id": "changed", "audio": "good.wav", "audio_sha256": "0" * 64}, {"id": "x"})
    found = "\n".join(datasets.check(datasets.load(tmp_path / "mine.jsonl")))
    for problem in (
        "x: neither text nor audio",
        "stereo.wav: .*not one channel",
        "silent.wav: .*silent",
        "slow.wav: .*4000 Hz",
        "nan.wav: .*NaN",
        "text.wav: .*not a readable",
        "absent.wav: .*missing",
        "good.wav: .*sha256",
    ):
        assert re.search(f"^{problem}", found, re.MULTILINE), problem


def test_the_two_splits_share_nothing_and_leave_nothing_out() -> None:
    whole, train, kept = (datasets.load(name) for name in ("asterisk-en", "asterisk-en@train", "asterisk-en@held-out"))
    assert {s.id for s in train.samples} | {s.id for s in kept.samples} == {s.id for s in whole.samples}
    assert len(train) + len(kept) == len(whole)
    assert 0.08 < len(kept) / len(whole) < 0.18
    assert kept.info.name == "asterisk-en@held-out"


def test_a_sample_stays_in_its_split_when_others_are_added() -> None:
    whole = datasets.load("asterisk-en")
    part = Dataset.of(whole.info, whole.samples[::3])
    kept = {s.id for s in datasets.split(part, "held-out").samples}
    assert kept == {s.id for s in part.samples if datasets.held_out(s.id)}


def test_a_split_falls_back_to_what_its_whole_falls_back_to() -> None:
    assert datasets.fallback("asterisk-en@held-out") == datasets.fallback("asterisk-en") == "librivox-en"
