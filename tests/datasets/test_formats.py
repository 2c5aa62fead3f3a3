"""Your own files: each layout, and what is refused with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.data_files import HEADER, clip, lines, tone

from speech_eval import datasets
from speech_eval.cache import file_sha256
from speech_eval.errors import BadInput


def test_a_folder_with_metadata_jsonl_loads(tmp_path: Path) -> None:
    wav = tone(tmp_path / "clips" / "a.wav")
    tone(tmp_path / "prompt.wav")
    row = {"file_name": "clips/a.wav", "text": "hello", "language": "fr", "speaker": "s1", "accent": "Breton"}
    lines(tmp_path / "metadata.jsonl", row | {"prompt_file_name": "prompt.wav", "prompt_text": "bonjour"})
    dataset = datasets.load_dataset(tmp_path)
    sample = dataset.samples[0]
    assert (sample.id, sample.text, sample.language, sample.speaker) == ("clips-a", "hello", "fr", "s1")
    assert (sample.prompt_audio, sample.prompt_text) == ("prompt.wav", "bonjour")
    assert sample.audio_sha256 == file_sha256(wav) and sample.metadata == {"accent": "Breton"}
    assert dataset.audio_path("clips/a.wav") == wav and datasets.check(dataset) == []


def test_a_folder_with_metadata_csv_loads(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    lines(tmp_path / "metadata.csv", "file_name,text,language", 'a.wav,"hello, there",')
    sample = datasets.load_dataset(tmp_path).samples[0]
    assert (sample.text, sample.language) == ("hello, there", "en")


def test_a_csv_line_with_a_field_too_many_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "metadata.csv", "file_name,text", "a.wav,hello, there")
    with pytest.raises(BadInput, match=r"metadata\.csv:2: .*header"):
        datasets.load_dataset(path)


def test_a_manifest_with_a_header_loads(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", HEADER, {"id": "a", "text": "line\u2028separators stay"}, "", {"id": "b"})
    dataset = datasets.load_dataset(path)
    assert dataset.info.name == "mine" and [sample.id for sample in dataset.samples] == ["a", "b"]


def test_a_manifest_with_a_header_has_no_unknown_fields(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", HEADER, {"id": "a", "txt": "hello"})
    with pytest.raises(BadInput, match=r"mine\.jsonl:2: field 'txt'"):
        datasets.load_dataset(path)


def test_a_manifest_without_a_header_is_named_after_its_file(tmp_path: Path) -> None:
    info = datasets.load_dataset(lines(tmp_path / "mine.jsonl", {"id": "a", "text": "hello", "language": "de"})).info
    assert (info.name, info.languages, info.license) == ("mine", ["de"], "unknown")


def test_a_seed_tts_list_of_four_and_five_fields_loads(tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    path = tmp_path / "zh" / "meta.lst"
    lines(path, "u1|prompt words|prompt-wavs/p.wav|text to say", "u2|prompt|p.wav|more text|wavs/u2.wav")
    first, second = datasets.load_dataset(path).samples
    assert (first.id, first.text, first.prompt_text) == ("u1", "text to say", "prompt words")
    assert (first.prompt_audio, first.audio, first.language) == ("prompt-wavs/p.wav", None, "zh")
    assert second.audio == "wavs/u2.wav"
    with pytest.raises(BadInput, match=r"meta\.lst:1: 2 fields"):
        datasets.load_dataset(lines(path, "u1|text"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"id": "a", "text": ', "not a JSON record"),
        ("[1, 2]", "not a JSON object"),
        ('{"text": "no id"}', "no id and no path of a recording; the columns are text"),
        ('{"id": "a", "text": ["hello"]}', "field 'text'"),
        ('{"id": "first", "text": "hello"}', "already on line 1"),
        ('{"id": "a", "audio": "../secret.wav"}', "leaves its folder"),
        ('{"id": "a", "prompt_audio": "/etc/passwd"}', "outside the folder of the list"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, row: str, problem: str) -> None:
    path = lines(tmp_path / "mine.jsonl", {"id": "first", "text": "hello"}, row)
    with pytest.raises(BadInput, match=rf"mine\.jsonl:2: .*{problem}") as caught:
        datasets.load_dataset(path)
    assert caught.value.remedy


def test_text_that_is_not_utf8_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(b'{"id": "a"}\n{"id": "b", "text": "caf\xe9"}\n')
    with pytest.raises(BadInput, match=r"mine\.jsonl:2: .*UTF-8"):
        datasets.load_dataset(tmp_path / "mine.jsonl")


def test_a_dataset_without_samples_and_a_folder_without_metadata_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no samples"):
        datasets.load_dataset(lines(tmp_path / "mine.jsonl", HEADER))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"metadata\.jsonl"):
        datasets.load_dataset(tmp_path / "empty")


@pytest.fixture
def testset(tmp_path: Path) -> Path:
    """The benchmark's folder as it is unpacked: four fields, human recordings in `wavs`."""
    root = tmp_path / "seedtts_testset"
    texts = {
        "en/meta.lst": "u|prompt|prompt-wavs/p.wav|Get the trust fund.",
        "zh/meta.lst": "z|提示|prompt-wavs/p.wav|你好。",
    }
    texts["zh/hardcase.lst"] = "h|提示|prompt-wavs/p.wav|四是四，十是十。"
    for path, line in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(line + "\n", encoding="utf-8")
        (root / path).parent.joinpath("prompt-wavs").mkdir(exist_ok=True)
        (root / path).parent.joinpath("prompt-wavs/p.wav").write_bytes(clip(1, kind="WAV"))
    (root / "en/wavs").mkdir()
    (root / "en/wavs/u.wav").write_bytes(clip(2, kind="WAV"))
    return root


@pytest.mark.parametrize(
    ("wanted", "folders", "identity", "language"),
    [
        ("seed-tts-en", ("", "en"), "u", "en"),
        ("seed-tts-zh", ("", "zh"), "z", "zh"),
        ("seed-tts-hard", ("", "zh"), "h", "zh"),
    ],
)
def test_a_task_finds_its_list_in_the_folder_of_the_benchmark(
    testset: Path, wanted: str, folders: tuple[str, ...], identity: str, language: str
) -> None:
    for folder in folders:
        found = datasets.load_dataset(testset / folder, wanted)
        assert [(sample.id, sample.language) for sample in found.samples] == [(identity, language)]
        path = datasets.locate(str(testset / folder), wanted)
        assert datasets.load_dataset(path).sha256 == found.sha256


def test_a_recording_named_after_the_utterance_is_the_ground_truth(testset: Path) -> None:
    assert datasets.load_dataset(testset / "en").samples[0].audio == "wavs/u.wav"
    assert datasets.load_dataset(testset / "zh").samples[0].audio is None


def test_the_fifth_field_is_the_ground_truth_and_the_text_keeps_its_spaces(testset: Path) -> None:
    (testset / "en/meta.lst").write_text("u|prompt|prompt-wavs/p.wav| two  spaces |wavs/u.wav\n", encoding="utf-8")
    (sample,) = datasets.load_dataset(testset / "en").samples
    assert (sample.text, sample.audio) == (" two  spaces ", "wavs/u.wav")
