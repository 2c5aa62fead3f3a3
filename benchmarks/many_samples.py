"""Cost per sample and memory of large runs: `noisy` on text samples through run, resume, score, report and page.

    python benchmarks/many_samples.py [--samples 10000 40000 200000]

Each command is a process of its own; its wall time, its CPU time and the peak of its memory come from the system.
`resume` gives the command of the finished run again. The cost per sample must not grow with the number of samples, and
the memory must stay below 1 GB at 200 000.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "rain", "falls", "on", "quiet")
COMMAND = [sys.executable, "-m", "speech_eval"]


def write_data(path: Path, count: int) -> None:
    """A manifest of `count` sentences of ten words."""
    drawn = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = " ".join(drawn.choices(WORDS, k=10))
            file.write(json.dumps({"id": f"s{number}", "text": text, "language": "en"}) + "\n")


def measured(words: Sequence[str | Path]) -> dict[str, float]:
    """Wall and CPU seconds and the peak of memory in MB of one command."""
    start = perf_counter()
    process = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return {
        "seconds": round(perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "memory_mb": round(used.ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 40_000, 200_000])
    for count in parser.parse_args().samples:
        with tempfile.TemporaryDirectory() as folder:
            data, run, site = Path(folder) / "data.jsonl", Path(folder) / "run", Path(folder) / "site"
            write_data(data, count)
            asked = ["run", "--model", "noisy", "--tasks", "asr", "--data", data, "--output", run]
            for name, words in (
                ("run", asked),
                ("resume", asked),
                ("score", ["score", run]),
                ("report", ["report", run]),
                ("page", ["leaderboard", "build", run, "--output", site]),
            ):
                found = measured(words)
                per_sample = round(1e6 * found["cpu_seconds"] / count)
                print(
                    json.dumps({"samples": count, "command": name, **found, "cpu_us_per_sample": per_sample}),
                    flush=True,
                )


if __name__ == "__main__":
    main()
