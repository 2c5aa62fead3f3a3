"""Data of a stranger: nothing outside its folder is read, and a small file does not fill the memory or the disk."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.data_files import clip

from speech_eval import datasets
from speech_eval.datasets import hub
from speech_eval.datasets.catalog import Choice, HubSource
from speech_eval.datasets.formats.choice import layout
from speech_eval.datasets.formats.imported import Part
from speech_eval.errors import BadAudio, BadInput


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def archive(path: Path, members: Mapping[str, bytes], mode: str = "w:") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def test_line_separators_in_a_text_of_an_archive_stay_in_it(tmp_path: Path) -> None:
    text = "one\u2028two\u0085three\x0bfour"
    found = datasets.load_dataset(archive(tmp_path / "a.tar", {"1.wav": clip(0), "1.txt": text.encode()}))
    assert [sample.text for sample in found.samples] == [text]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_archive_is_refused_by_name(tmp_path: Path, cache: Path, mode: str) -> None:
    path = archive(tmp_path / "a.tar", {"1.wav": clip(0) + bytes(1 << 22), "1.txt": b"x"}, mode)
    with pytest.raises(BadInput, match=r"a\.tar"):
        datasets.load_dataset(path)
    assert not list(cache.rglob("*.wav"))


def test_a_file_with_holes_is_not_unpacked(tmp_path: Path, cache: Path) -> None:
    header = tarfile.TarInfo("1.wav")
    header.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "1.wav",
                          "GNU.sparse.size": str(1 << 29), "GNU.sparse.map": "0,0"}  # fmt: skip
    with tarfile.open(tmp_path / "a.tar", "w:", format=tarfile.PAX_FORMAT) as file:
        file.addfile(header, io.BytesIO())
    with pytest.raises(BadInput, match=r"a\.tar: webdataset without a sample"):
        datasets.load_dataset(tmp_path / "a.tar")
    assert not list(cache.rglob("*.wav"))


def test_a_hole_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "good.wav").write_bytes(clip(0, kind="WAV"))
    with (tmp_path / "hole.wav").open("wb") as file:
        file.truncate(1 << 36)
    lines = [{"id": name, "audio": f"{name}.wav", "text": "a", "language": "en"} for name in ("good", "hole")]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (problem,) = datasets.check(datasets.load_dataset(tmp_path / "set.jsonl"))
    assert "hole.wav: 65536 MiB, and audio files of at most" in problem
    with (tmp_path / "set.jsonl").open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(BadInput, match=r"set\.jsonl: larger than 1024 MiB"):
        datasets.load_dataset(tmp_path / "set.jsonl")


def test_a_part_of_a_recording_is_refused_by_its_header(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 96_000, 8, format="FLAC", subtype="PCM_16") as file:
        file.write(np.zeros((96_000, 8), np.int16))
    part = Part(tmp_path / "a.flac", 0.0, 1.0)
    assert len(part.read().samples) == 96_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECH_EVAL_MAX_AUDIO_SECONDS", "2")
        with pytest.raises(BadAudio, match="too much to decode"):
            part.read()


def test_a_link_out_of_the_folder_is_read_only_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    folder.mkdir()
    (outside / "private.txt").write_text("hello there")
    (outside / "a.wav").write_bytes(clip(0))
    (folder / "a.wav").write_bytes(clip(0))
    (folder / "a.txt").symlink_to(outside / "private.txt")
    with pytest.raises(BadInput, match="SPEECH_EVAL_DATA_ROOTS="):
        datasets.load_dataset(folder)
    (folder / "a.txt").unlink()
    (folder / "a.wav").unlink()
    (folder / "a.wav").symlink_to(outside / "a.wav")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.wav", "text": "hello there"}) + "\n")
    with pytest.raises(BadInput, match="outside the folder"):
        datasets.load_dataset(folder).audio_path("a.wav")
    monkeypatch.setenv("SPEECH_EVAL_DATA_ROOTS", str(outside))
    assert datasets.load_dataset(folder).audio_path("a.wav").is_file()


def test_links_of_the_hubs_cache_and_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "datasets--x" / "snapshots" / "1"
    folder.mkdir(parents=True)
    (tmp_path / "datasets--x" / "blobs").mkdir()
    (tmp_path / "datasets--x" / "blobs" / "ab").write_bytes(clip(0))
    (folder / "a.wav").symlink_to("../../blobs/ab")
    (folder / "b.wav").symlink_to("a.wav")
    assert len(datasets.load_dataset(folder).samples) == 2


def test_a_row_of_the_hub_names_no_file_of_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "private.wav").write_bytes(clip(0))
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "a.wav").write_bytes(clip(0))
    for source in (HubSource(repo="org/set"), HubSource(repo=str(tmp_path / "repo"))):
        with pytest.raises(BadInput, match="not among its files"):
            hub.downloaded(source, str(tmp_path / "private.wav"))
    assert hub.downloaded(source, str(tmp_path / "repo" / "a.wav")).is_file()


@pytest.mark.parametrize("value", ["[1, 2]", "not JSON", 5, "[" * 50_000])
def test_a_column_that_holds_no_object_is_said(value: object) -> None:
    prepare = layout(Choice(protocol="p", question="q", answer="a", choices=("c",), unpack=("inside",)))
    with pytest.raises(BadInput, match="inside holds no object"):
        prepare({"q": "?", "a": "x", "c": ["x", "y"], "inside": value})
    with pytest.raises(BadInput, match="c holds no options"):
        prepare({"q": "?", "a": "x", "c": 5, "inside": "{}"})
