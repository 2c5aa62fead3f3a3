"""Signals at random moments, a full disk, too few file descriptors, a read-only disk and two writers.

    python benchmarks/faults.py [--signals 60] [--seed 0]

Signals: `score`, `report`, `verify` and `leaderboard build` are ended by SIGKILL, SIGTERM or SIGHUP after a random
share of the time they take undisturbed; the same command given again must end with the same bytes, and SIGTERM and
SIGHUP must leave no temporary file. The other faults: the command must say one line and exit with 2, or work where
nothing has to be written; those of the disk need `unshare` (util-linux). The output is one JSON line per fault; the
exit code is 1 where a command did something else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(_ROOT), str(_ROOT / "tests")]

from support.hostile_runs import make_run  # noqa: E402

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Place:
    """A folder with a finished `run`, and where a command's temporary files and site go."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def command(self, name: str) -> list[str]:
        words = {
            "score": ["score", str(self.run), "--workers", "1"],
            "report": ["report", str(self.run)],
            "verify": ["verify", str(self.run), "--workers", "1"],
            "compare": ["compare", str(self.run), str(self.run)],
            "leaderboard": ["leaderboard", "build", str(self.run), "-o", str(self.folder / "site")],
        }[name]
        return [sys.executable, "-m", "speech_eval", *words]

    def start(self, name: str) -> subprocess.Popen[bytes]:
        (self.folder / "tmp").mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(self.command(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)

    def results(self) -> str:
        """The digest of what the commands have made: the numbers, and the site where there is one."""
        files = [self.run / "results.json", *sorted((self.folder / "site").rglob("*.html"))]
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def signals(sound: Path, folder: Path, count: int, chance: random.Random) -> dict[str, object]:
    """Random signals at random moments."""
    wrong, sent = [], dict.fromkeys((number.name for number in SIGNALS), 0)
    for name in ("score", "report", "verify", "leaderboard"):
        place = _copy(sound, folder / name)
        begun = perf_counter()
        assert place.start(name).wait() == 0
        length, expected = perf_counter() - begun, place.results()
        for _ in range(count // 4):
            if name == "report":  # which writes only where the numbers are not there
                (place.run / "results.json").unlink()
            number = chance.choice(SIGNALS)
            process = place.start(name)
            sleep(chance.uniform(0.2, 1.0) * length)
            if process.poll() is None:
                process.send_signal(number)
                sent[number.name] += 1
            process.wait()
            left = list((place.folder / "tmp").iterdir())
            if left and number is not signal.SIGKILL:
                wrong.append(f"{name}, {number.name}: left {left}")
            shutil.rmtree(place.folder / "tmp")
            if place.start(name).wait() != 0 or place.results() != expected:
                wrong.append(f"{name}, {number.name}: other results when given again")
            if list(place.run.rglob("*.tmp")):
                wrong.append(f"{name}, {number.name}: temporary files in the run")
    return {"fault": "signals", **sent, "wrong": wrong}


def two_writers(sound: Path, folder: Path) -> dict[str, object]:
    """The same run scored by two processes at once: one works, the other says so or waits its turn."""
    place = _copy(sound, folder / "writers")
    before, wrong = place.results(), []
    for _ in range(3):
        both = [place.start("score") for _ in range(2)]
        said = [process.communicate()[0].decode() for process in both]
        codes = sorted(process.returncode for process in both)
        if codes not in ([0, 0], [0, 2]) or (codes[1] and not any("being written by" in text for text in said)):
            wrong.append(f"exit codes {codes}")
        if place.results() != before:
            wrong.append("other results")
    return {"fault": "two writers", "pairs": 3, "wrong": wrong}


def read_only(sound: Path, folder: Path) -> dict[str, object]:
    """A run on a read-only disk: reading works, writing is refused in one line."""
    place, wrong = _copy(sound, folder / "read-only"), []
    mount = f"mount --bind {place.run} {place.run} && mount -o remount,ro,bind {place.run} && exec "
    for name, expected in (("report", 0), ("verify", 0), ("compare", 0), ("leaderboard", 0), ("score", 2)):
        code, said = _in_namespace(mount + " ".join(place.command(name)))
        if code != expected or "Traceback" in said or (code and "Read-only file system" not in said):
            wrong.append(f"{name}: exit {code}: {said[-300:]}")
    return {"fault": "read-only disk", "commands": 5, "wrong": wrong}


def full_disk(sound: Path, folder: Path) -> dict[str, object]:
    """A disk that is full: one line, and the numbers stay as they are."""
    place, wrong = _copy(sound, folder / "full"), []
    before = place.results()
    for spare in (0, 4, 8, 16):  # KiB that are free, less than scoring takes
        disk = place.folder / "disk"
        disk.mkdir(exist_ok=True)
        words = " ".join(place.command("score")).replace(str(place.run), str(disk / "run"))
        script = (
            f"mount -t tmpfs -o size=8m tmpfs {disk} && cp -r {place.run} {disk} "
            f"&& free=$(df -k --output=avail {disk} | tail -1) "
            f"&& head -c $((free - {spare}))k /dev/zero > {disk}/ballast; {words}; code=$?; rm {disk}/ballast; "
            f"{words} >/dev/null 2>&1 || exit 9; cp {disk}/run/results.json {place.run}/results.json; exit $code"
        )
        code, said = _in_namespace(script)
        if code != 2 or "no space left" not in said or "Traceback" in said:
            wrong.append(f"{spare} KiB: exit {code}: {said[-300:]}")
        if place.results() != before:
            wrong.append(f"{spare} KiB: other results when given again with space")
    return {"fault": "full disk", "sizes": 4, "wrong": wrong}


def few_descriptors(sound: Path, folder: Path) -> dict[str, object]:
    """A process that may hardly open files: an answer or one line."""
    place, wrong, refused = _copy(sound, folder / "descriptors"), [], 0
    before = place.results()
    for limit in (5, 6, 7, 8, 10, 12, 16, 24):
        for name in ("report", "verify"):
            words = " ".join(place.command(name))
            done = subprocess.run(["sh", "-c", f"ulimit -n {limit}; exec {words}"], capture_output=True, text=True)
            refused += done.returncode != 0
            if done.returncode not in (0, 2) or "Traceback" in done.stderr:
                wrong.append(f"{name}, {limit} descriptors: exit {done.returncode}: {done.stderr[-300:]}")
    if place.results() != before:
        wrong.append("other results")
    return {"fault": "few file descriptors", "commands": 16, "refused": refused, "wrong": wrong}


def _copy(sound: Path, folder: Path) -> Place:
    shutil.copytree(sound, folder / "run")
    return Place(folder)


def _in_namespace(script: str) -> tuple[int, str]:
    """Exit code and output of a shell script that may mount."""
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = make_run(folder / "sound")
        found = [two_writers(sound, folder), few_descriptors(sound, folder)]
        if shutil.which("unshare") and _in_namespace("true")[0] == 0:
            found += [read_only(sound, folder), full_disk(sound, folder)]
        found.append(signals(sound, folder, given.signals, random.Random(given.seed)))
        for line in found:
            print(json.dumps({key: value for key, value in line.items() if key != "wrong" or value}))
            bad = bad or bool(line["wrong"])
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
