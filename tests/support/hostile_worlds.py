"""The kinds of folders that strangers send: runs, runs of conversations, listening tests, and data to train on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from support.hostile_runs import Commands, commands, make_run
from support.listening_runs import codec_runs
from support.raters import panel

from speech_eval.api import listening
from speech_eval.api.data import inspect_data
from speech_eval.engine import session
from speech_eval.engine.settings import Settings
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.listening.serve import server
from speech_eval.reference_models.conversation.duplex.channels import load_channels, words_in
from speech_eval.reference_models.data.corpus import open_corpus

_RATE = 16000


@dataclass(frozen=True)
class World:
    """How a sound folder is made in a new place, and what is done with damaged copies of it."""

    make: Callable[[Path], Path]
    commands: Commands


def _spoken(seconds: float, start: float, end: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A tone from `start` to `end` in silence."""
    times = np.arange(round(seconds * _RATE)) / _RATE
    return np.where((times >= start) & (times < end), 0.2 * np.sin(1500 * times), 0).astype(np.float32)


def make_conversations(folder: Path) -> Path:
    """A finished run of turn-taking on two single turns, in `folder/run`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(2):
        soundfile.write(folder / f"t{number}.wav", _spoken(2.5, 0.2, 1.0), _RATE)
        turn = {"turn_end": 1.0, "pauses": [[0.5, 0.7]]}
        lines.append({"id": f"t{number}", "audio": f"t{number}.wav", "text": "a turn", "language": "en", **turn})
    (folder / "set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = Settings(data=str(folder / "set.jsonl"), workers=1)
    session.run("turn-oracle", ["turn-taking"], folder / "run", settings)
    return folder / "run"


def make_listening_test(folder: Path) -> Path:
    """Two runs and a test of them with four raters' answers, in `folder/all`."""
    whole = folder / "all"
    whole.mkdir(parents=True)
    runs = codec_runs(whole, samples=3)
    kinds = "mos,ab,mushra,text"
    made = listening.build_listening_test([run.path for run in runs], whole / "test", kinds=kinds, samples=3)
    (whole / "test" / "answers").mkdir(exist_ok=True)
    for answers in panel(made.key, {"oracle": 4.2, "noisy": 2.8}, 4):
        (whole / "test" / "answers" / f"{answers.rater}.json").write_text(answers.model_dump_json())
    return whole


def listening_commands(sound: Path, scratch: Path) -> dict[str, Callable[[Path], object]]:
    def runs(folder: Path) -> list[Path]:
        return [folder / "run-0", folder / "run-1"]

    def again(folder: Path) -> None:
        shutil.rmtree(scratch / "made", ignore_errors=True)
        listening.build_listening_test(runs(folder), scratch / "made", kinds="mos,ab,mushra", samples=3)

    return {
        "listen report": lambda folder: listening.listening_report(folder / "test"),
        "listen power": lambda folder: listening.rater_power(folder / "test", difference=0.2),
        "listen serve": lambda folder: server(folder / "test").server_close(),
        "listen build": again,
        "listen import": lambda folder: listening.import_answers(folder / "test", runs(folder)),
        "leaderboard": lambda folder: build(runs(folder), scratch / "site", max_samples=2),
    }


def make_dialogues(folder: Path) -> Path:
    """Data to train on: stereo recordings with the words or turns of their channels, in `folder/data`."""
    data = folder / "data"
    data.mkdir(parents=True)
    lines = []
    for number in range(4):
        channels = np.stack([_spoken(3.0, 1.5, 2.5), _spoken(3.0, 0.2, 1.0)], axis=1)
        soundfile.write(data / f"d{number}.wav", channels, _RATE)
        said = [[1, "hello there", 0.2, 1.0], [0, "good morning", 1.5, 2.5]]
        split = "held-out" if number == 3 else "train"
        column = "words" if number % 2 else "turns"
        lines.append({"file_name": f"d{number}.wav", "text": "hello there", "split": split, column: said})
    (data / "metadata.jsonl").write_text("".join(json.dumps({**line, "language": "en"}) + "\n" for line in lines))
    return data


def dialogue_commands(sound: Path, scratch: Path) -> dict[str, Callable[[Path], object]]:
    def channels(folder: Path) -> None:
        for clip in open_corpus(folder, language="en").clips:
            words_in(clip.sample)
            load_channels(clip.path, 8000)

    return {
        "data check": lambda folder: inspect_data(folder, language="en"),
        "data check --task": lambda folder: inspect_data(folder, "asr", language="en"),
        "train": lambda folder: open_corpus(folder, scratch / "checkpoint"),
        "train --resume": lambda folder: open_corpus(folder, scratch / "checkpoint"),
        "train duplex": channels,
    }


WORLDS = {
    "runs": World(make_run, commands),
    "conversations": World(make_conversations, commands),
    "listening": World(make_listening_test, listening_commands),
    "dialogues": World(make_dialogues, dialogue_commands),
}
