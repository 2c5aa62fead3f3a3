"""A skip that nobody wrote down fails the session."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import known_skips

pytest_plugins = ["pytester"]
TESTS = Path(__file__).resolve().parents[1]
TEST = """
import pytest

def test_runs():
    pass

def test_other():
    pytest.skip("{reason}")
"""
KNOWN = "# a comment\nmetrics/test_*.py | no weights* | they are on a hub\noutside CI\n* | no compiler | install one\n"


def session(pytester: pytest.Pytester, reason: str) -> pytest.RunResult:
    """A session with this project's conftest, the list above and one skipped test."""
    folder = pytester.mkdir("tests")
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text("utf-8"), "utf-8")
    (folder / "skips.txt").write_text(KNOWN, "utf-8")
    (folder / "slow.txt").write_text("", "utf-8")
    (folder / "metrics").mkdir()
    (folder / "metrics" / "test_one.py").write_text(TEST.format(reason=reason), "utf-8")
    return pytester.runpytest_subprocess("-q")


def test_a_listed_skip_is_shown_with_its_reason(pytester: pytest.Pytester) -> None:
    result = session(pytester, "no weights here")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["skipped 1 of tests/metrics/test_one.py: no weights here (they are on a hub)"])


def test_an_unlisted_skip_fails_the_session(pytester: pytest.Pytester) -> None:
    result = session(pytester, "not today")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*not today (NOT in tests/skips.txt)", "Make these tests run, or add a line*"])


@pytest.mark.parametrize(("ci", "expected"), [("", 0), ("true", 1)])
def test_what_a_machine_lacks_may_be_skipped_outside_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, expected: int
) -> None:
    if ci:
        monkeypatch.setenv("CI", ci)
    else:
        monkeypatch.delenv("CI", raising=False)
    assert session(pytester, "no compiler").ret == expected


def test_the_list_holds_no_file_that_is_gone() -> None:
    listed = list(known_skips((TESTS / "skips.txt").read_text("utf-8"), ci=False))
    assert listed and all(list(TESTS.glob(file)) for file, _, _ in listed)
