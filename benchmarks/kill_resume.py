"""Kill a run without warning at many random moments, resume it, and compare its results with an undisturbed run's.

    python benchmarks/kill_resume.py [--kills 200] [--model noisy] [--tasks asr,latency] [--limit 200]

Each trial starts a run, kills it (SIGKILL) after a random share of the time an undisturbed run takes, and starts it
again until it ends; every resumed run must end with the same bytes of results.json. Exits 1 on the first difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep


def start(words: list[str], output: Path) -> subprocess.Popen[bytes]:
    code = "from speech_eval.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "run", *words, "--output", str(output)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--model", default="noisy,fail_rate=0.05")
    parser.add_argument("--tasks", default="asr")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    words = ["--model", arguments.model, "--tasks", arguments.tasks, "--limit", str(arguments.limit)]
    words += ["--max-failures", str(arguments.limit)]
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        begun = perf_counter()
        if start(words, whole).wait() != 0:
            raise SystemExit("the undisturbed run failed")
        length = perf_counter() - begun
        expected = (whole / "results.json").read_bytes()
        kills = trials = 0
        while kills < arguments.kills:
            cut = Path(folder) / f"cut{trials}"
            trials += 1
            for _ in range(6):
                process, begun = start(words, cut), perf_counter()
                sleep(chance.uniform(0.3, 1.0) * length)
                if process.poll() is not None:
                    length = min(length, 0.95 * (perf_counter() - begun))  # it ended sooner: aim earlier
                    break
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            if start(words, cut).wait() != 0 or (cut / "results.json").read_bytes() != expected:
                raise SystemExit(f"trial {trials}: the resumed run differs (seed {arguments.seed})")
            shutil.rmtree(cut)
            print(f"\r{kills} kills, {trials} resumed runs, all equal", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(
        json.dumps({"kills": kills, "resumed_runs": trials, "equal": trials, "undisturbed_seconds": round(length, 2)})
    )


if __name__ == "__main__":
    main()
