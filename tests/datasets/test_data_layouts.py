"""People's data as it lies on disk: each layout loads, and the note says what it was taken for."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.data_files import clip, lines, tone

from speech_eval import datasets
from speech_eval.audio import load
from speech_eval.errors import BadInput, MissingExtra

RATE = 16_000
TEXTS = ("hello there", "good bye")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(folder))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "hf"))
    return folder


def ramp(path: Path, seconds: float, channels: int = 1) -> Path:
    """A recording whose sample n is n / 32768 (of channel c: plus c / 4), so that each part of it is known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    one = np.arange(round(seconds * RATE)) % 8192 / 32768
    soundfile.write(path, np.stack([one + 0.25 * c for c in range(channels)], axis=1), RATE, subtype="PCM_16")
    return path


def audio_folder(folder: Path) -> None:
    for split in ("train", "test"):
        tone(folder / split / "a.wav"), tone(folder / split / "b.wav")
        lines(folder / split / "metadata.csv", "file_name,transcription", f"a.wav,{TEXTS[0]}", f"b.wav,{TEXTS[1]}")


def audio_folder_with_one_list(folder: Path) -> None:
    tone(folder / "train" / "a.wav"), tone(folder / "test" / "b.wav")
    rows = [f"train/a.wav,{TEXTS[0]}", f"test/b.wav,{TEXTS[1]}"]
    lines(folder / "metadata.csv", "file_name,text", *rows)


def metadata_parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    tone(folder / "a.wav"), tone(folder / "b.wav")
    table = pyarrow.table({"file_name": ["a.wav", "b.wav"], "text": list(TEXTS)})
    parquet.write_table(table, folder / "metadata.parquet")


def _table() -> Any:
    import datasets as library

    rows = [{"audio": {"bytes": clip(i), "path": f"{i}.flac"}, "sentence": text} for i, text in enumerate(TEXTS)]
    table = library.Dataset.from_list(rows)
    return table.cast_column("audio", library.Audio(decode=False)).cast_column("audio", library.Audio())


def parquet_shards(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    for number in range(2):
        _table().select([number]).to_parquet(folder / "data" / f"test-0000{number}-of-00002.parquet")
    _table().to_parquet(folder / "data" / "train-00000-of-00001.parquet")


def saved(folder: Path) -> None:
    _table().save_to_disk(str(folder))


def saved_with_splits(folder: Path) -> None:
    import datasets as library

    library.DatasetDict({"train": _table().select([0]), "test": _table()}).save_to_disk(str(folder))


def nemo(folder: Path) -> None:
    tone(folder / "a.wav"), tone(folder / "wavs" / "b.wav")
    rows = [
        {"audio_filepath": str(folder / "a.wav"), "duration": 0.1, "text": TEXTS[0]},
        {"audio_filepath": "wavs/b.wav", "duration": 0.1, "text": TEXTS[1]},
    ]
    lines(folder / "test_manifest.json", *rows)


def kaldi(folder: Path) -> None:
    ramp(folder / "call.wav", 2.0)
    lines(folder / "wav.scp", f"call {folder}/call.wav")
    lines(folder / "segments", "u1 call 0.5 1.0", "u2 call 1.0 1.75")
    lines(folder / "text", f"u1 {TEXTS[0]}", f"u2 {TEXTS[1]}")
    lines(folder / "utt2spk", "u1 anna", "u2 ben")


def espnet(folder: Path) -> None:
    tone(folder / "a.wav"), tone(folder / "b.wav")
    lines(folder / "wav.scp", "u1 a.wav", "u2 flac -c -d -s b.wav |")
    lines(folder / "text", f"u1 {TEXTS[0]}", f"u2 {TEXTS[1]}")


def lhotse(folder: Path) -> None:
    ramp(folder / "call.wav", 2.0)
    source = {"type": "file", "channels": [0], "source": "call.wav"}
    recording = {"id": "call", "sources": [source], "sampling_rate": RATE, "num_samples": 2 * RATE, "duration": 2.0}
    cuts = []
    for number, (start, text) in enumerate(zip((0.5, 1.0), TEXTS, strict=True)):
        supervision = {"id": "s", "recording_id": "call", "start": 0, "duration": 0.5, "text": text, "speaker": "anna"}
        cut = {"id": f"c{number}", "start": start, "duration": 0.5, "channel": 0, "type": "MonoCut"}
        cuts.append(json.dumps({**cut, "supervisions": [supervision], "recording": recording}))
    (folder / "cuts.jsonl.gz").write_bytes(gzip.compress("\n".join(cuts).encode()))


def ljspeech(folder: Path) -> None:
    tone(folder / "wavs" / "LJ001-0001.wav"), tone(folder / "wavs" / "LJ001-0002.wav")
    lines(folder / "metadata.csv", f"LJ001-0001|Hello, 1|{TEXTS[0]}", f'LJ001-0002|"Good bye|{TEXTS[1]}')


def file_list(folder: Path) -> None:
    tone(folder / "wavs" / "a.wav"), tone(folder / "wavs" / "b.wav")
    lines(folder / "metadata.csv", f"wavs/a.wav|anna|{TEXTS[0]}", f"wavs/b.wav|ben|{TEXTS[1]}")


def librispeech(folder: Path) -> None:
    place = folder / "1089" / "134686"
    tone(place / "1089-134686-0000.flac"), tone(place / "1089-134686-0001.flac")
    lines(place / "1089-134686.trans.txt", f"1089-134686-0000 {TEXTS[0]}", f"1089-134686-0001 {TEXTS[1]}")


def libritts(folder: Path) -> None:
    for number, text in enumerate(TEXTS):
        name = folder / "1089" / "134686" / f"1089_134686_000000_00000{number}"
        tone(name.with_suffix(".wav"))
        lines(name.with_suffix(".normalized.txt"), text)
        lines(name.with_suffix(".original.txt"), "As it was printed")


def vctk(folder: Path) -> None:
    for number, text in enumerate(TEXTS, 1):
        for microphone in (1, 2):
            tone(folder / "wav48_silence_trimmed" / "p225" / f"p225_00{number}_mic{microphone}.flac")
        lines(folder / "txt" / "p225" / f"p225_00{number}.txt", text)


def common_voice(folder: Path) -> None:
    tone(folder / "clips" / "a.mp3.wav"), tone(folder / "clips" / "b.mp3.wav")
    header = "client_id\tpath\tsentence\tup_votes\tlocale"
    rows = [f"7f\ta.mp3.wav\t{TEXTS[0]}\t2\ten", f"8a\tb.mp3.wav\t{TEXTS[1]}\t2\ten"]
    lines(folder / "test.tsv", header, *rows)
    lines(folder / "train.tsv", header, rows[0])


def webdataset(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "shard-000000.tar", "w") as archive:
        for number, text in enumerate(TEXTS):
            for suffix, data in (("flac", clip(number)), ("txt", text.encode()), ("json", b'{"speaker": 7}')):
                member = tarfile.TarInfo(f"data/{number:03}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def pairs(folder: Path) -> None:
    for name, text in zip("ab", TEXTS, strict=True):
        tone(folder / f"{name}.WAV")
        lines(folder / f"{name}.txt", text)


def path_sentence(folder: Path) -> None:
    tone(folder / "a.wav"), tone(folder / "b.wav")
    lines(folder / "test.csv", "path,sentence", f"a.wav,{TEXTS[0]}", f"b.wav,{TEXTS[1]}")


def semicolons(folder: Path) -> None:
    tone(folder / "clips" / "a.wav"), tone(folder / "clips" / "b.wav")
    text = f"file_name;transcription\r\nclips\\a.wav;{TEXTS[0]}\r\nclips\\b.wav;{TEXTS[1]}\r\n"
    (folder / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())


def json_array(folder: Path) -> None:
    tone(folder / "a.wav"), tone(folder / "b.wav")
    rows = [{"audio_path": f"{name}.wav", "transcript": text} for name, text in zip("ab", TEXTS, strict=True)]
    lines(folder / "manifest.json", json.dumps(rows, indent=1))


def hub_clone(folder: Path) -> None:
    audio_folder(folder / "data")
    lines(folder / "README.md", "# A dataset")


def kaldi_tree(folder: Path) -> None:
    for split in ("train", "test"):
        tone(folder / "wav" / "a.wav"), tone(folder / "wav" / "b.wav")
        lines(folder / "data" / split / "wav.scp", f"u1 {folder}/wav/a.wav", f"u2 {folder}/wav/b.wav")
        lines(folder / "data" / split / "text", f"u1 {TEXTS[0]}", f"u2 {TEXTS[1]}")


def unpacked_archive(folder: Path) -> None:
    ljspeech(folder / "LJSpeech-1.1")


def parquet_configuration(folder: Path) -> None:
    (folder / "en").mkdir(parents=True)
    _table().to_parquet(folder / "en" / "test-00000-of-00001.parquet")


def lhotse_manifests(folder: Path) -> None:
    for name in "ab":
        tone(folder / f"{name}.wav")
    source = {"type": "file", "channels": [0]}
    rows = [
        {"id": name, "sources": [{**source, "source": f"{name}.wav"}], "sampling_rate": RATE, "num_samples": 1600}
        for name in "ab"
    ]
    lines(folder / "x_recordings_test.jsonl", *({**row, "duration": 0.1} for row in rows))
    said = zip("ab", TEXTS, strict=True)
    rows = [{"id": f"s-{name}", "recording_id": name, "text": text, "channel": 0} for name, text in said]
    lines(folder / "x_supervisions_test.jsonl", *({**row, "start": 0, "duration": 0.1} for row in rows))


def webdataset_of_named_parts(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "0.tar", "w") as archive:
        for number, text in enumerate(TEXTS):
            for suffix, data in (("audio.flac", clip(number)), ("text.txt", text.encode())):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def folders_of_texts(folder: Path) -> None:
    for name, text in zip("ab", TEXTS, strict=True):
        tone(folder / "wav" / f"{name}.wav")
        lines(folder / "txt" / f"{name}.txt", text)


LAYOUTS: list[tuple[Callable[[Path], None], str]] = [
    (audio_folder, r"metadata.csv is read as an AudioFolder, text from column 'transcription'\..*split 'test'"),
    (audio_folder_with_one_list, "AudioFolder"),
    (metadata_parquet, "read as parquet"),
    (parquet_shards, "parquet .*split 'test'.*train.* Text from column 'sentence'"),
    (saved, "save_to_disk of datasets.* Text from column 'sentence'"),
    (saved_with_splits, "save_to_disk of datasets .*split 'test'.*train"),
    (nemo, "a NeMo manifest"),
    (kaldi, "wav.scp is read as a data folder of Kaldi"),
    (espnet, "wav.scp is read as a data folder of Kaldi"),
    (lhotse, "lhotse cuts"),
    (ljspeech, "LJSpeech"),
    (file_list, "LJSpeech"),
    (librispeech, "LibriSpeech"),
    (libritts, "recordings with texts beside them"),
    (vctk, "VCTK"),
    (common_voice, "a list of Common Voice, .*text from column 'sentence'.*split 'test'.*train"),
    (webdataset, "webdataset"),
    (pairs, "recordings with texts beside them"),
    (path_sentence, "a table, text from column 'sentence', audio from column 'path'"),
    (semicolons, "AudioFolder, text from column 'transcription'"),
    (hub_clone, "AudioFolder.*split 'test'"),
    (unpacked_archive, "LJSpeech"),
    (parquet_configuration, "parquet"),
    (lhotse_manifests, "lhotse"),
    (webdataset_of_named_parts, "webdataset"),
    (folders_of_texts, "recordings with texts beside them"),
    (json_array, "Text from column 'transcript', audio from column 'audio_path'"),
]


@pytest.mark.parametrize(("build", "note"), LAYOUTS, ids=[build.__name__ for build, _ in LAYOUTS])
def test_a_layout_loads_with_its_texts_and_recordings(tmp_path: Path, build: Callable[[Path], None], note: str) -> None:
    build(tmp_path)
    dataset = datasets.load_dataset(tmp_path)
    assert sorted(sample.text or "" for sample in dataset.samples) == sorted(TEXTS)
    dataset.ensure_audio()
    for sample in dataset.samples:
        assert sample.audio is not None and sample.audio_sha256
        assert load(dataset.audio_path(sample.audio)).seconds >= 0.1
    assert re.search(note, dataset.note), dataset.note
    assert datasets.load_dataset(tmp_path).sha256 == dataset.sha256


def test_a_tree_of_kaldi_is_searched_for_its_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_EVAL_DATA_ROOTS", str(tmp_path))
    kaldi_tree(tmp_path)
    found = datasets.load_dataset(tmp_path)
    assert [sample.text for sample in found.samples] == list(TEXTS) and "split 'test'" in found.note


def test_of_several_datasets_in_a_folder_one_is_asked_for(tmp_path: Path) -> None:
    for name in ("de", "en"):
        path_sentence(tmp_path / name)
        (tmp_path / name / "test.csv").rename(tmp_path / name / "metadata.csv")
    with pytest.raises(BadInput, match="holds 2 datasets: de, en"):
        datasets.load_dataset(tmp_path)


@pytest.mark.parametrize("build", [kaldi, lhotse])
def test_a_part_of_a_recording_is_exactly_that_part(tmp_path: Path, build: Callable[[Path], None]) -> None:
    build(tmp_path)
    dataset = datasets.load_dataset(tmp_path)
    whole = load(tmp_path / "call.wav").samples
    first, second = (load(dataset.audio_path(sample.audio or "")).samples for sample in dataset.samples)
    assert np.array_equal(first, whole[RATE // 2 : RATE])
    assert np.array_equal(second, whole[RATE : RATE + len(second)])


def test_an_offset_and_duration_of_nemo_are_a_part(tmp_path: Path) -> None:
    ramp(tmp_path / "long.wav", 2.0)
    rows = [{"audio_filepath": "long.wav", "offset": n * 0.5, "duration": 0.5, "text": "x"} for n in range(4)]
    dataset = datasets.load_dataset(lines(tmp_path / "m.json", *rows))
    assert len({sample.id for sample in dataset.samples}) == 4
    parts = [load(dataset.audio_path(sample.audio or "")).samples for sample in dataset.samples]
    assert np.array_equal(np.concatenate(parts), load(tmp_path / "long.wav").samples)


def test_an_import_follows_its_source(tmp_path: Path) -> None:
    kaldi(tmp_path)
    before = datasets.load_dataset(tmp_path)
    lines(tmp_path / "segments", "u1 call 0.25 1.0")
    lines(tmp_path / "text", "u1 another text")
    after = datasets.load_dataset(tmp_path)
    assert [sample.text for sample in after.samples] == ["another text"] and after.sha256 != before.sha256


@pytest.mark.parametrize(
    ("name", "rows", "problem"),
    [
        ("wav.scp", ["u1 touch executed |"], "no command of the data is run"),
        ("wav.scp", ["u1 raw.ark:12"], "an archive of Kaldi"),
        ("m.jsonl", [{"file_name": "https://example.com/a.wav"}], "is an address"),
        ("m.jsonl", [{"file_name": "C:\\data\\a.wav"}], "a path of another machine"),
        ("m.jsonl", [{"file_name": "/data/a.wav"}], "SPEECH_EVAL_DATA_ROOTS=/data"),
        ("m.csv", ["words,category", "hello,x"], "the columns are words, category"),
        ("m.jsonl", ['{"id": "a", "seconds": NaN}'], "NaN is not a number"),
        ("m.jsonl", ['{"id": "a", "text": "\\ud800"}'], "cannot be stored"),
        ("m.jsonl", ["[" * 100_000], "not a JSON record"),
        ("m.jsonl", [{"id": "a", "text": ["x"]}], "field 'text'"),
        ("m.csv", ["file_name,text", f"a.wav,{'x' * 200_000}"], "not a table"),
        ("m.parquet", ["not parquet"], "not a readable parquet file"),
        ("m.tar", ["not tar"], "not a readable tar file"),
        ("m.jsonl.gz", ["not gzip"], "not a complete gzip file"),
        ("cuts.jsonl", [{"type": "MixedCut", "id": "c", "tracks": []}], "not a cut of one recording"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_cause(tmp_path: Path, name: str, rows: list[Any], problem: str) -> None:
    path = lines(tmp_path / name, *rows)
    with pytest.raises(BadInput, match=problem) as caught:
        datasets.load_dataset(path)
    assert name in str(caught.value) and caught.value.remedy
    assert not (tmp_path / "executed").exists()


def test_a_recording_in_an_allowed_folder_is_found_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav = tone(tmp_path / "corpora" / "x" / "a.wav")
    rows = [{"audio_filepath": str(wav), "text": "hello"}, {"audio_filepath": "x/a.wav", "text": "again", "id": "b"}]
    path = lines(tmp_path / "lists" / "m.json", *rows)
    with pytest.raises(BadInput, match=r"m\.json:1: .*outside the folder"):
        datasets.load_dataset(path)
    monkeypatch.setenv("SPEECH_EVAL_DATA_ROOTS", str(tmp_path / "corpora"))
    dataset = datasets.load_dataset(path)
    assert [sample.audio for sample in dataset.samples] == ["@corpora/x/a.wav"] * 2
    assert dataset.audio_path("@corpora/x/a.wav") == wav
    with pytest.raises(BadInput, match="leaves its folder"):
        dataset.audio_path("@corpora/../secret.wav")


def test_numbers_are_taken_as_ids_and_null_as_absent(tmp_path: Path) -> None:
    rows = [{"id": 1, "text": "one", "speaker": 7}, {"id": 2, "text": None}, {"id": 3, "text": ""}]
    samples = datasets.load_dataset(lines(tmp_path / "m.jsonl", *rows)).samples
    assert [(s.id, s.text, s.speaker) for s in samples] == [("1", "one", "7"), ("2", None, None), ("3", "", None)]


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines(tmp_path / "m.parquet", "x")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"speech-eval-harness\[hub\]"):
        datasets.load_dataset(path)
