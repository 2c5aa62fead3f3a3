"""Whether a change of the code moved a number: `results.json` of fixed runs before and after it.

    python benchmarks/same_results.py run FOLDER          the fixed runs with the installed `speech-eval`
    python benchmarks/same_results.py compare OLD NEW     exit 0 where each pair of files is equal byte for byte

`run` leaves out what is in FOLDER already. About 15 minutes on a core; latencies of real models are left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FAKES = {
    "asr": "asr --limit 30",
    "seed": "seed-tts --limit 4",
    "latency": "latency,latency-load --limit 12",
    "codec": "codec-reconstruction,token-bill --limit 4",
    "turn": "turn-taking --limit 10",
}
HELD_OUT = "--data asterisk-en@held-out"
RUNS = {
    f"{name}-{task}": f"{name} --tasks {words}"
    for name in ("oracle", "noisy", "failing")
    for task, words in FAKES.items()
}
RUNS |= {
    "turn-oracle": "turn-oracle --tasks turn-taking --limit 10",
    "vad": "vad-timeout --tasks turn-taking,turn-taking-policy --limit 10",
    "whisper": "whisper-tiny.en --tasks asr --limit 12",
    "hibari": "hibari --tasks seed-tts --limit 6",
    "espeak": "espeak-ng --tasks seed-tts --limit 6",
    "dac": f"dac-16k-2k --tasks codec-depth {HELD_OUT} --limit 3",
    "opus": f"opus,bitrate=6000 --tasks codec-reconstruction {HELD_OUT} --limit 4",
    "llasa": "llasa-3m-en --tasks seed-tts --limit 3",
    "modelability": "dac-16k-2k --tasks codec-modelability --limit 2",
}


def run(folder: Path) -> int:
    """Make the runs that `folder` lacks."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name, words in RUNS.items():
        if (folder / name / "results.json").is_file():
            continue
        command = ["speech-eval", "run", "--model", *words.split(), "--output", str(folder / name)]
        subprocess.run([*command, "--workers", "1", "--max-failures", "100000"], env=environment, check=True)
    return 0


def compare(old: Path, new: Path) -> int:
    """Print a verdict per run; 1 where a file differs or is missing."""
    differ = 0
    for name in RUNS:
        files = [folder / name / "results.json" for folder in (old, new)]
        same = all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes()
        print(f"{'same' if same else 'DIFFERENT'}  {name}")
        differ += not same
    return int(differ > 0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", folder]:
            sys.exit(run(Path(folder)))
        case ["compare", old, new]:
            sys.exit(compare(Path(old), Path(new)))
        case _:
            sys.exit(__doc__)
