"""Set-up of every session: one thread per numeric library, no downloads, a list of what was skipped and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import Phase, settings

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ.setdefault(_name, "false" if _name.startswith("TOKEN") else "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Explaining a failure traces every line, in which Python 3.11 has been seen to hang.
# How long an example takes says nothing on a busy machine.
settings.register_profile("quiet", phases=[phase for phase in Phase if phase is not Phase.explain], deadline=None)
settings.load_profile("quiet")

TESTS = Path(__file__).parent


def known_skips(text: str, ci: bool) -> Iterator[tuple[str, str, str]]:
    """(file, message, why) per line of skips.txt, without those that do not hold in CI."""
    everywhere, _, local = text.partition("outside CI\n")
    for line in (everywhere if ci else everywhere + local).splitlines():
        if line and not line.startswith("#"):
            file, message, why = line.split(" | ")
            yield file, message, why


class SkipReport:
    """Lists what was skipped and why; a skip that skips.txt does not hold fails the session."""

    def __init__(self) -> None:
        self.known = list(known_skips((TESTS / "skips.txt").read_text("utf-8"), "CI" in os.environ))
        self.skipped: Counter[tuple[str, str, str]] = Counter()

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
            return
        file = report.nodeid.partition("::")[0].partition("tests/")[2]
        said = report.longrepr[2].removeprefix("Skipped: ")
        whys = [why for path, message, why in self.known if fnmatchcase(file, path) and fnmatchcase(said, message)]
        self.skipped[file, said, whys[0] if whys else ""] += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK and not all(why for _, _, why in self.skipped):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for (file, said, why), count in sorted(self.skipped.items()):
            terminalreporter.write_line(f"skipped {count} of tests/{file}: {said} ({why or 'NOT in tests/skips.txt'})")
        if not all(why for _, _, why in self.skipped):
            terminalreporter.write_line(
                "Make these tests run, or add a line with the reason to tests/skips.txt.", red=True
            )


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = set((TESTS / "slow.txt").read_text("utf-8").split())
    for item in items:
        if item.nodeid.partition("[")[0].partition("tests/")[2] in slow:
            item.add_marker("slow")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SkipReport(), "skip-report")
