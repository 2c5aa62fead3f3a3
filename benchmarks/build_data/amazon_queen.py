"""The texts of the recordings in `queen.1c` of Flight of the Amazon Queen, read from its own dialogue files.

A recording is named KKNNNNWS.SB for conversations (talk key, number of the line in hex, J for Joe or P for the other
person), CCCCCNNS.SB for scenes (name of the scene filled up with _, number of the line), and JOENNNNS.SB for remarks.
S is the segment, in hex: the lines are cut at commands, which begin with an asterisk.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from speech_eval.assets import store as assets
from speech_eval.assets.bundles import members
from speech_eval.audio import load as load_audio
from speech_eval.records import DatasetInfo, Sample

QUEEN = "flight-of-the-amazon-queen"
ASSET: dict[str, Any] = {
    "name": QUEEN,
    "role": "recordings",
    "kind": "deb",
    "license": "Flight of the Amazon Queen license",
    "source": "Flight of the Amazon Queen, (c) 1995 John Passfield and Steven Stamatiadis",
    "description": "Acted dialogue of an adventure game in English, many voices, 11 kHz MP3.",
    "bundles": {"queen.1c": "voices"},
    "packages": [
        (
            QUEEN,
            "1.0.0-9",
            f"{QUEEN}_1.0.0-9_all.deb",
            {
                f"usr/share/scummvm/{QUEEN}/queen.1c": "queen.1c",
                f"usr/share/doc/{QUEEN}/copyright": "copyright",
                f"usr/share/doc/{QUEEN}/readme.txt.gz": "readme.txt.gz",
            },
        )
    ],
}
"""What manifests.py pins."""

_HEADER = 20  # bytes before the data of a dialogue file
_COMMAND = re.compile(r"\*(?:XY\d\d\([^)]*\)|[A-Z0-9]{0,2})")
_FIRST_REMARK = 41  # remarks below are answers to commands, whose texts lie elsewhere
_REMARKS = "QUEEN2.JAS"


def dialogues(spoken_text: Callable[[str], str | None]) -> tuple[DatasetInfo, list[Sample]]:
    """The manifest of the acted dialogue, with texts from its own files; `spoken_text` is manifests.py's."""
    asset = assets.ASSETS[QUEEN]
    folder = assets.ensure(asset.name)
    samples = []
    for name, (raw, speaker) in sorted(texts(dict(members(folder / "queen.1c"))).items()):
        text, path = spoken_text(raw), f"voices/{name.removesuffix('.SB')}.mp3"
        if text is None or not (folder / path).is_file():
            continue
        samples.append(
            Sample(
                id=f"queen-{name.removesuffix('.SB').lower()}",
                text=text,
                language="en",
                audio=f"{asset.name}/{path}",
                speaker=speaker,
                metadata={"seconds": round(load_audio(folder / path).seconds, 2)},
            )
        )
    info = DatasetInfo(
        name="amazon-queen-en",
        version="1",
        description="Acted dialogue of an adventure game, many voices, 11 kHz MP3 (speech below 4 kHz). Includes the "
        "recordings whose text is in the dialogue files: two or more words of two or more letters, no digits or "
        "symbols; greetings and answers to commands are left out. `speaker` is the character, where the files name "
        "it; several share an actor.",
        languages=["en"],
        license=asset.license,
        source="Flight of the Amazon Queen 1.0.0 (Debian)",
        attribution="Flight of the Amazon Queen, (c) 1995 John Passfield and Steven Stamatiadis. The texts are an "
        "extract from the game, a modified version under the terms of its license.",
        assets=[asset.name],
    )
    return info, samples


def texts(files: Mapping[str, bytes]) -> dict[str, tuple[str, str | None]]:
    """The text and the speaker of each recording by its name; the speaker is None where only a number tells who it is.

    `files` are the members of the bundle by name. Names for which there is no recording are among them.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for name, content in files.items():
        stem, _, kind = name.partition(".")
        if kind == "DOG":
            person = re.sub(r"\d+$", "", stem).lower()
            for key, number, who, line in _conversation(content[_HEADER:]):
                speaker = "joe" if who == "J" else person
                found |= {f"{key:02d}{number:04X}{who}{at:X}.SB": (text, speaker) for at, text in _segments(line)}
        elif kind == "CUT":
            for number, line in _scene(content[_HEADER:]):
                found |= {f"{stem:_<5}{number:02d}{at:X}.SB": (text, None) for at, text in _segments(line)}
    for number, line in enumerate(files[_REMARKS].decode("latin-1").splitlines(), _FIRST_REMARK):
        found |= {f"JOE{number:04d}{at:X}.SB": (text, "joe") for at, text in _segments(line)}
    return found


def _segments(line: str) -> Iterator[tuple[int, str]]:
    """The segments of a line that have a text, from 1."""
    return ((at, text.strip()) for at, text in enumerate(_COMMAND.split(line), 1) if text.strip())


def _conversation(data: bytes) -> Iterator[tuple[int, int, str, str]]:
    """Talk key, number, J or P, and the line of everything that can be said."""
    levels, _, key, joe, person = struct.unpack_from(">hHHhh", data)
    (of_person,) = struct.unpack_from(">H", data, 22)
    for who, count, at in (("J", joe, 32 + 96 * abs(levels)), ("P", person, of_person)):
        for _ in range(count):
            (number,) = struct.unpack_from(">H", data, at + 2)
            line, at = _string(data, at + 4, 4)
            yield key, number, who, line


def _scene(data: bytes) -> Iterator[tuple[int, str]]:
    """Number and line of what is said in a scene."""
    (count,) = struct.unpack_from(">h", data, 2)
    (at,) = struct.unpack_from(">H", data, 8)
    for number in range(abs(count) + 1):
        line, at = _string(data, at, 2)
        yield number, line


def _string(data: bytes, at: int, align: int) -> tuple[str, int]:
    """The string that lies at a place, and where the next thing does: a length, and that many characters."""
    length = data[at]
    if not length:
        return "", at + 1
    end = at + 1 + length
    return data[at + 1 : end].decode("latin-1"), -(-end // align) * align
