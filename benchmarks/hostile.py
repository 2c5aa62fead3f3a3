"""Damages folders of strangers at random and gives every command to each; prints what went wrong.

    python benchmarks/hostile.py [--mutations 500] [--seed 0] [--worlds runs listening] [--verbose]

The worlds are runs, runs of conversations, listening tests with their runs and answers, and two-channel data to train
on; mutation after mutation takes the next of them.

The output is one JSON line: mutations tried, commands given, how many were refused in one line, tracebacks, hangs, and
mutations after which something outside the damaged folder had changed. The last three should be 0, and the exit code
is 1 where one is not; `--verbose` prints each finding.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(_ROOT), str(_ROOT / "tests")]

from support.hostile_runs import Tally, try_mutation  # noqa: E402
from support.hostile_worlds import WORLDS  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=[*WORLDS])
    given = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        sound = {name: WORLDS[name].make(Path(folder) / name) for name in given.worlds}
        for number in range(given.mutations):
            name = given.worlds[number % len(sound)]
            try_mutation(given.seed + number, sound[name], Path(folder) / "scratch", tally, WORLDS[name].commands)
    findings = {"tracebacks": tally.tracebacks, "hangs": tally.hangs, "changed outside": tally.changed}
    if given.verbose:
        for kind, lines in findings.items():
            for line in lines:
                print(f"{kind}: {line}", file=sys.stderr)
    counts = {"mutations": tally.mutations, "commands": tally.commands, "refused": tally.refused}
    print(json.dumps({**counts, **{kind: len(lines) for kind, lines in findings.items()}}))
    return int(any(findings.values()))


if __name__ == "__main__":
    sys.exit(main())
