"""Recordings inside a file of an asset, and texts from the dialogue files beside them."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path

import pytest

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.assets.bundles import members, unpack_recordings
from speech_eval.audio import load
from speech_eval.errors import BadInput


def bundle(files: dict[str, bytes]) -> bytes:
    """A bundle in the game's layout."""
    start = 15 + 21 * len(files)
    table = b""
    for name, content in files.items():
        table += struct.pack(">12sBII", name.encode(), 1, start, len(content))
        start += len(content)
    return b"QTBL" + b"CEM10\0" + b"\0\0\1" + struct.pack(">H", len(files)) + table + b"".join(files.values())


FILES = {"AND1.DOG": b"talk", "020001P2.SB": b"one", "C1A__012.SB": b"three", "../EVIL.SB": b"out"}


def test_the_voices_of_a_bundle_become_files_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "queen.1c").write_bytes(bundle(FILES))
    assert dict(members(tmp_path / "queen.1c")) == FILES
    unpack_recordings(tmp_path / "queen.1c", tmp_path / "in" / "voices")
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.mp3")}
    assert found == {"in/voices/020001P2.mp3": b"one", "in/voices/C1A__012.mp3": b"three"}


@pytest.mark.parametrize("kept", [3, 12, 40, 100])
def test_a_bundle_that_is_not_whole_is_refused(tmp_path: Path, kept: int) -> None:
    (tmp_path / "queen.1c").write_bytes(bundle(FILES)[:kept])
    with pytest.raises(BadInput, match="bundle"):
        list(members(tmp_path / "queen.1c"))


def test_the_dialogue_of_the_amazon_queen_is_what_its_package_holds() -> None:
    """Counts of the whole list, and the length and audibility of a few of its recordings."""
    dataset = datasets.load_dataset("amazon-queen-en")
    assert len(dataset) == 5804 and round(sum(s.metadata["seconds"] for s in dataset.samples) / 3600, 2) == 4.23
    speakers = Counter(sample.speaker for sample in dataset.samples)
    assert len(speakers) == 31 and speakers["joe"] > 1000
    folder = assets.ensure("flight-of-the-amazon-queen")
    assert len(list((folder / "voices").iterdir())) > len(dataset)
    for sample in random.Random(0).sample(dataset.samples, 12):
        audio = load(dataset.audio_path(str(sample.audio)))
        assert audio.rate == 11_025 and audio.seconds == pytest.approx(sample.metadata["seconds"], abs=0.01)
        assert abs(audio.samples).max() > 0.05
        assert 2 < len(str(sample.text)) / audio.seconds < 45  # letters per second
