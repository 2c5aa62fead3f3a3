"""JSON files that a stranger wrote: read whole and bounded, or refused in one line that names the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speech_eval.errors import BadInput
from speech_eval.text.files import read_record

HOSTILE = {
    "deep": ("[" * 100_000, "nested too deeply|not a JSON object"),
    "cut": ('{"a": 1', "not a readable record"),
    "list": ("[1]", "not a JSON object"),
    "lacking": ('{"b": 1}', "no 'a'"),
    "large": ('{"a": "' + "x" * 3_000_000 + '"}', "larger than 1 MB"),
    "latin": (b'{"a": "\xe9"}', "not a readable record"),
    "digits": ('{"a": ' + "9" * 10_000 + "}", "not a readable record"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE[name]
    file = tmp_path / "record.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=message) as refused:
        read_record(file, "Make it again.", "a", largest=1 << 20)
    assert str(file) in str(refused.value) and "Make it again." in str(refused.value)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("pipe", "not a file"), ("none", "there is none"), ("", "not a file")):
        with pytest.raises(BadInput, match=message):
            read_record(tmp_path / name, "")


def test_a_record_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('\ufeff{"a": "é", "b": [1.5]}', "utf-8-sig")
    (tmp_path / "plain.json").write_text('{"a": "é"}', "utf-8")
    assert read_record(tmp_path / "plain.json", "", "a") == {"a": "é"}
