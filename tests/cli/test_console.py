"""What reaches the terminal: no markup, no emoji codes, no control or direction characters from models' texts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from speech_eval.cli import console
from speech_eval.progress import bars

HOSTILE = "[bold]a[/bold] :smile: \x1b[31m\r\u202eevil\u2066\u061c\x9b0m"
SAFE = "[bold]a[/bold] :smile: �[31m��evil���0m"


@pytest.mark.parametrize("show", [console.line, console.say, lambda text: console.table([{"name": text}])])
def test_a_hostile_text_is_printed_as_it_reads(show: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(show)
    show(HOSTILE)
    shown = capsys.readouterr()
    assert SAFE in shown.out + shown.err


def test_numbers_of_a_narrow_table_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    numbers = {name: f"{index}.0000 points" for index, name in enumerate("abcd")}
    console.table([{"number": "seed-tts wer[seed-tts-eval@2024-06]/wer", **numbers}])
    shown = capsys.readouterr().out
    assert all(number in shown for number in numbers.values()) and max(map(len, shown.splitlines())) <= 80


def test_json_escapes_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit({"text": HOSTILE + "é"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"text": HOSTILE + "é"}
    assert not set("\x1b\r\u202e\u2066\u061c\x9b") & set(text) and "é" in text


def test_a_label_of_a_bar_is_printed_as_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    with bars() as progress:
        progress(HOSTILE, 1, 1)
    assert ":smile:" in (shown := capsys.readouterr().err) and "\u202e" not in shown


@pytest.mark.parametrize("command", [["list", "tasks"], ["list", "metrics", "--json"]])
def test_a_reader_that_closes_the_output_ends_the_command_without_a_word(command: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "speech_eval", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)
