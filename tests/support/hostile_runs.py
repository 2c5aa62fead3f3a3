"""Random damage to folders of strangers, and what must hold whatever was done to one: an answer or one line, in bounded
time, with nothing changed outside it. `hostile_worlds.py` has the kinds of folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import soundfile

from speech_eval.analysis.exports import FORMATS
from speech_eval.api import judging, scoring
from speech_eval.api.run import Run
from speech_eval.engine import session
from speech_eval.engine.settings import Settings
from speech_eval.errors import SpeechEvalError
from speech_eval.gate.rules import Rule
from speech_eval.leaderboard.build import build

SECONDS, LONGEST = 20, 60  # of the processor, and by the clock, that a command may take on a small damaged folder
RULES = [
    Rule(task="asr", metric="wer[whisper-normalizer@20250625]/wer", margin=0.5),
    Rule(task="asr", failures=0),
    Rule(task="latency", metric="rtf[wall@1]/rtf", max=1.0),
]
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    "x" * 10_000,
    "../../../etc/passwd",
    "/dev/zero",
    "\ud800",
    "\u202e\x1b[2J\x00",
    "<script>",
    [],
    {},
    [[]],
    {"": None},
)


def make_run(folder: Path) -> Path:
    """A finished run of text and of speech on three recordings, in `folder/run`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(3):
        tone = (0.2 * np.sin(np.arange(8000) / (5 + number))).astype(np.float32)
        soundfile.write(folder / f"s{number}.wav", tone, 16000)
        text = f"a sentence with the number {number}"
        lines.append(json.dumps({"id": f"s{number}", "text": text, "audio": f"s{number}.wav"}))
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n")
    session.run("noisy", ["asr", "latency"], folder / "run", Settings(data=str(folder / "set.jsonl"), workers=1))
    return folder / "run"


# ------------------------------------------------------------------------------------------------- damage


def damage(rng: random.Random, run: Path, victim: Path) -> str:
    """Damage one file of a folder at random, perhaps with a link to `victim`; returns what was done."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    file = rng.choice([path for path in files if path.suffix not in (".flac", ".wav")] * 4 + files)
    text = file.suffix in (".json", ".jsonl")
    kind = rng.choice([_edit] * 8 + [_bytes, _bytes, _replace, _add] if text else [_bytes, _replace, _add])
    return f"{file.relative_to(run)}: {kind(rng, file, victim)}"


def _edit(rng: random.Random, file: Path, victim: Path) -> str:
    """Change one value of one JSON record."""
    try:
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        index = rng.randrange(len(lines))
        record = json.loads(lines[index])
        holder, key = rng.choice(list(_places(record)))
    except (ValueError, IndexError, RecursionError):  # damaged before
        return _bytes(rng, file, victim)
    value = rng.choice(ODD_VALUES)
    action = rng.choice(["set", "set", "set", "delete", "add"])
    if action == "set":
        holder[key] = value
    elif action == "delete":
        del holder[key]
    elif isinstance(holder, dict):
        holder[rng.choice(["surprise", "", "x" * 10_000])] = value
    else:
        holder.append(value)
    lines[index] = json.dumps(record)
    file.write_text("\n".join(lines) + "\n")
    return f"{action} {key!r} to {str(value)[:40]!r}"


def _places(record: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(record) if isinstance(record, dict) else range(len(record)) if isinstance(record, list) else ()
    for key in keys:
        yield record, key
        yield from _places(record[key])


def _bytes(rng: random.Random, file: Path, _: Path) -> str:
    data = bytearray(file.read_bytes() or b"\n")
    at = rng.randrange(len(data))
    action = rng.choice(["cut", "flip", "zero", "repeat", "open"])
    if action == "cut":
        del data[at:]
    elif action == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif action == "zero":
        data[at : at + 16] = bytes(16)
    elif action == "repeat":
        data *= 2
    else:
        data[at:at] = b"[" * 5000
    file.write_bytes(data)
    return f"{action} at byte {at}"


def _replace(rng: random.Random, file: Path, victim: Path) -> str:
    """Put something else in place of a file."""
    action = rng.choice(["gone", "link", "endless", "pipe", "folder", "long line", "empty", "hole", "hard link"])
    file.unlink()
    if action == "link":
        file.symlink_to(victim)
    elif action == "endless":
        file.symlink_to("/dev/zero")
    elif action == "pipe":
        os.mkfifo(file)
    elif action == "folder":
        file.mkdir()
    elif action == "long line":
        file.write_bytes(b'{"id":"' + b"x" * 50_000_000 + b'"}\n')
    elif action == "empty":
        file.touch()
    elif action == "hole":
        with file.open("wb") as hole:
            hole.truncate(1 << 36)
    elif action == "hard link":
        os.link(victim, file)
    return action


def _add(rng: random.Random, file: Path, victim: Path) -> str:
    """Put something beside a file."""
    name = rng.choice(["zzz.jsonl", "zzz.tmp", ".lock", "gate.json", "manifest.json.tmp", "x.flac"])
    place = file.with_name(name)
    if place.is_symlink() or place.is_file():
        place.unlink()
    if rng.random() < 0.5 and not place.exists():
        place.symlink_to(victim)
        return f"link {name}"
    if not place.exists():
        os.mkfifo(place)
    return f"pipe {name}"


# ------------------------------------------------------------------------------------------------- commands


def commands(sound: Path, scratch: Path) -> dict[str, Callable[[Path], object]]:
    """What is done with runs of others, by name. `sound` is a run without damage, `scratch` a folder for output."""
    found: dict[str, Callable[[Path], object]] = {
        "report": lambda run: scoring.refresh([run]),
        "compare": lambda run: judging.compare(sound, run, force=True),
        "compare --by": lambda run: judging.compare(sound, run, force=True, by="length", least=1),
        "report --by": lambda run: scoring.report(run, "latex", by="length", least=1),
        "gate": lambda run: judging.gate(run, RULES, baseline=sound),
        "baseline": lambda run: judging.gate(sound, RULES, baseline=run),
        "leaderboard": lambda run: build([run, sound], scratch / "site", max_samples=2),
        "show": _show,
        "verify": lambda run: scoring.verify(run, workers=1),
        "score": lambda run: scoring.score(run, workers=1),
    }
    for name in FORMATS:
        output = scratch / "tensorboard" if name == "tensorboard" else None
        found[f"report --format {name}"] = lambda run, name=name, output=output: scoring.report(run, name, output)  # type: ignore[misc]
    return found


def _show(path: Path) -> None:
    run = Run(path)
    run.to_dict(), run.rows(), run.samples()


class Hang(BaseException):
    """A command took longer than it may."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise `Hang` after `SECONDS` or `LONGEST`, in the main thread."""

    def end(_: int, __: FrameType | None) -> None:
        raise Hang

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, SECONDS), signal.SIGALRM: (signal.ITIMER_REAL, LONGEST)}
    before = {number: signal.signal(number, end) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@dataclass
class Tally:
    """What came of mutations. Each list has a line per finding: what was done, the command, and what happened."""

    mutations: int = 0
    commands: int = 0
    refused: int = 0
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


Commands = Callable[[Path, Path], dict[str, Callable[[Path], object]]]


def try_mutation(seed: int, sound: Path, scratch: Path, tally: Tally, given: Commands = commands) -> None:
    """Damage a copy of the folder `sound` and give it every command: `given` the sound folder and a scratch folder."""
    rng = random.Random(seed)
    outside = scratch / "outside"
    shutil.rmtree(scratch, ignore_errors=True)
    outside.mkdir(parents=True)
    victim = outside / "victim"
    victim.write_text('{"id": "a"}\na line without an end')
    shutil.copytree(sound, scratch / "run")
    done = "; ".join(damage(rng, scratch / "run", victim) for _ in range(rng.choice([1, 1, 1, 2, 3])))
    before = _state(outside), _state(sound)
    tally.mutations += 1
    for name, command in given(sound, scratch).items():
        tally.commands += 1
        try:
            with limited():
                command(scratch / "run")
        except SpeechEvalError as error:
            tally.refused += 1
            if "\n" in str(error) or len(str(error)) > 2000:
                tally.tracebacks.append(f"seed {seed}: {done}: {name}: not one short line: {str(error)[:200]!r}")
        except Hang:
            tally.hangs.append(f"seed {seed}: {done}: {name}")
        except Exception as error:
            tally.tracebacks.append(f"seed {seed}: {done}: {name}: {type(error).__name__}: {str(error)[:200]}")
    if (_state(outside), _state(sound)) != before:
        tally.changed.append(f"seed {seed}: {done}")
    shutil.rmtree(scratch, ignore_errors=True)


def _state(folder: Path) -> dict[str, str]:
    """Kind and digest of all that lies below a folder; links are not followed."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        data = path.read_bytes() if stat.S_ISREG(mode) else b""
        found[str(path)] = f"{stat.S_IFMT(mode)} {hashlib.sha256(data).hexdigest()}"
    return found
