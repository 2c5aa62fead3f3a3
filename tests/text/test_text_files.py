"""Text files: the byte-order mark is no text, and another encoding is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech_eval.errors import BadInput
from speech_eval.text.files import parse_json, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", ["", "plain", "déjà vu\nça", "你好，世界", "สวัสดี", "نص"])
def test_unicode_is_read_with_or_without_its_mark(encoding: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "a.txt") == text


def test_line_ends_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\rthree\n")
    assert read_text(tmp_path / "a.txt") == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("encoding", "text", "name"),
    [
        ("latin-1", "la première fois", "WINDOWS-1252"),
        ("cp1252", "“déjà vu”, dit-elle à voix basse", "WINDOWS-1252"),
        ("utf-16-le", "été comme hiver", "UTF-16LE"),
        ("utf-16-be", "été comme hiver", "UTF-16BE"),
        ("shift_jis", "これは日本語の文章です", "SHIFT-JIS"),
        ("gb18030", "这是一个中文的句子", "GB18030"),
    ],
)
def test_another_encoding_is_named_with_the_file_and_the_line(
    encoding: str, text: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(BadInput, match=rf"a.txt, line 1: byte 0x.. is not UTF-8; the file looks like {name}.*iconv"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "9" * 5000, "", b"\xff"])
def test_json_that_cannot_be_read_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
