"""Writes tests/slow.txt from what pytest says of durations: tests that `make test-fast` leaves out.

python -m pytest --durations=0 --durations-min=0.01 > log; python tests/support/slow_list.py log > tests/slow.txt
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

LONGEST, LONGEST_OF_ALL = 0.4, 3.0  # seconds of one case of a test, and of all its cases together
_LINE = re.compile(r"\s*([\d.]+)s (?:call|setup|teardown)\s+tests/([^\[\s]+)(\S*)")


def slow(lines: list[str]) -> list[str]:
    """The tests, as `FOLDER/FILE.py::NAME`, that take too long for a quick round."""
    cases: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for line in lines:
        if found := _LINE.match(line):
            cases[found[2]][found[3]] += float(found[1])
    return sorted(
        name for name, own in cases.items() if max(own.values()) >= LONGEST or sum(own.values()) >= LONGEST_OF_ALL
    )


if __name__ == "__main__":
    print("\n".join(slow([line for log in sys.argv[1:] for line in Path(log).read_text("utf-8").splitlines()])))
