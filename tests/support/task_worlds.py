"""For any registered task and interface: a small dataset of real speech, and the model that no one can beat on it.

A task that is new needs no line here unless it wants fields that the rows below do not have.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
from support.serving import serving

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.spec import ResolvedModel
from speech_eval.assets.store import ensure
from speech_eval.audio import load
from speech_eval.engine import score as scoring
from speech_eval.engine import session as runner
from speech_eval.engine.executors import run_inline, start_worker
from speech_eval.engine.generate.strategy import Imported
from speech_eval.engine.session import Settings
from speech_eval.engine.task import TASKS, Task
from speech_eval.metrics import judge as judges
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Results, TaskResult
from speech_eval.reference_models.modelability import budget as budgets

MODELS = Path(__file__).parent / "perfect_models.py"
RATE = 16_000
# Seconds of the readers' sentences that make a sample, and what is said there.
CLIPS = (("0880", 0.3, 1.9), ("0930", 0.3, 1.8), ("0890", 0.3, 2.2), ("0920", 0.4, 1.9))
TEXTS = ("he was not", "but missus john", "unless to be rather", "had he married")
# Networks that take seconds a sample or to load, or whose package needs an older NumPy; the others stand for them here.
SLOW = ("mos[dnsmos-p835]", "mos[distillmos@7]", "text-tokens[smollm2@1]", "pedant[voicebench]")

CHOICE = [{"text": letter} for letter in "ABCD"]
REFUSAL = [{"text": "I'm sorry, but I can't help with that."}] * 4
FOLLOWED = [
    {"text": text, "instruction_id_list": [kind], "kwargs": [arguments]}
    for text, kind, arguments in (
        ("no commas here at all", "punctuation:no_comma", {}),
        ("ALL OF THIS IS LOUD AND IT IS WRITTEN IN ENGLISH", "change_case:english_capital", {}),
        ('"quoted from end to end"', "startend:quotation", {}),
        ("the cat sat", "keywords:existence", {"keywords": ["cat"]}),
    )
]
BBH = [
    {"id": f"{name}-{number}", "text": text}
    for number, (name, text) in enumerate(
        (("navigate", "yes"), ("web_of_lies", "no"), ("sports_understanding", "yes"), ("hyperbaton", "(B)"))
    )
]
QUESTIONS = [
    {"text": "B", "kind": "letter"},
    {"text": "woman", "kind": "option", "options": {"man": ["man"], "woman": ["woman"]}},
    {"text": "42", "kind": "number"},
    {"text": "I'm sorry, but I can't help with that.", "kind": "refuse"},
]
OPTIONS = [
    {
        "question": "Which is it?",
        "choices": ["a dog", "a cat", "rain"],
        "text": text,
        "task": "sound",
        "task_name": "Sound_AQA",
    }
    for text in ("a dog", "a cat", "rain", "a dog")
]
LETTERED = [
    {**row, "choices": ["(A) a dog", "(B) a cat"], "text": text}
    for row, text in zip(OPTIONS, ["(A) a dog", "(B) a cat"] * 2, strict=True)
]
CLASSES = [{"choices": ["neutral", "joy", "anger"], "text": text} for text in ("joy", "neutral", "anger", "joy")]
SEXES = [{"choices": ["male", "female"], "text": text} for text in ("male", "female", "female", "male")]
RULED = [
    {"instruction": "Say it.", "rule": rule, "rule_content": target}
    for rule, target in (("4", ""), ("12", "1-5"), ("2", "moon"), ("10", ""))
]
INSTRUCTED = [
    {"question": "What is said?", "task_identifier": rule, "kwargs": given}
    for rule, given in (
        ("Forbidden Words", {"forbidden_words": "moon"}),
        ("Number Words (at most)", {"N": 5}),
        ("No Commas", {}),
        ("All Lowercase", {}),
    )
]
CHATS = [
    {"question": "What is said?", "meta_info": "A woman reads.", "task_name": name}
    for name in ("speech_QA", "sound_QA", "music_QA", "speech_and_music_QA")
]
# What a task's samples are beside a recording and its words, by the beginning of the task's name; the first fits.
FIELDS: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("open-asr-multilingual", [{"language": "de"}] * 4),
    ("voicebench-mmsu", CHOICE),
    ("voicebench-openbookqa", CHOICE),
    ("voicebench-bbh", BBH),
    ("voicebench-ifeval", FOLLOWED),
    ("voicebench-advbench", REFUSAL),
    ("spoken-qa", QUESTIONS),
    ("audiobench-mmau", LETTERED),
    *((f"audiobench-{kind}", [{"instruction": "What is said?"}] * 4) for kind in ("graded", "spoken", "binary")),
    ("audiobench", OPTIONS),
    ("mmau-pro-instructions", INSTRUCTED),
    ("mmau-pro-open", [{"question": "What is said?"}] * 4),
    ("mmau", OPTIONS),
    ("air-bench-chat", CHATS),
    ("instruct-tts", [{"instruction": "Speak in a low voice."}] * 4),
    ("emergent-tts", [{"category": "Emotions", "row": number} for number in range(4)]),
    (
        "spoken-mqa",
        [{"text": key, "instruction": "Solve it.", "language": "en"} for key in ("7", "3 + 4\n#### 7", "0.5", "-2")],
    ),
    ("ifeval-audio", RULED),
    ("air-bench", [{**row, "choices": ["A", "B"], "text": text} for row, text in zip(OPTIONS, "ABAB", strict=True)]),
    ("meld", CLASSES),
    ("iemocap", CLASSES),
    ("ser", CLASSES),
    ("voxceleb", SEXES),
    ("st", [{"target": "English", "target_language": "en"}] * 4),
    ("", [{}] * 4),
)

# What a perfect system gets, by metric (its whole id first) and number; 1e-3 apart counts as the same.
BEST: dict[str, dict[str, float]] = {
    "wer": {"wer": 0.0},
    "wer-original": {"differential-wer": 0.0, "wer-increase": 0.0},
    "cer": {"cer": 0.0},
    "sim": {"sim": 1.0},
    "sim-reference": {"sim": 1.0},
    "stoi": {"stoi": 1.0},
    "estoi": {"estoi": 1.0},
    "pesq-wb": {"pesq-wb": 4.644},
    "pesq-nb": {"pesq-nb": 4.549},
    "mel-distance": {"mel-distance": 0.0},
    "stft-distance": {"stft-distance": 0.0},
    "mcd": {"mcd": 0.0},
    "si-sdr": {"si-sdr": 100.0},
    "f0": {"f0-correlation": 1.0, "f0-rmse": 0.0, "voicing-error": 0.0},
    "turn-taking": {"clean-turns": 100.0, "false-cut-offs": 0.0, "tor": 1.0},
    "turn-policy": {"latency-at-5%": 0.1},
    "overlap-timing": {"answered": 100.0},
    "ttfa": {"leading-silence-p50": 0.0},
    "playback": {"interrupted": 0.0, "underruns": 0.0},
    "response": {"ttft-p50": 0.05},
    "accuracy": {"accuracy": 100.0, "unparsed": 0.0},
    "choice": {"accuracy": 100.0, "unparsed": 0.0},
    "labels": {"uar": 100.0, "accuracy": 100.0, "weighted-f1": 100.0, "unparsed": 0.0},
    "bleu": {"bleu": 100.0},
    "chrf": {"chrf": 100.0},
    "bbh": {"accuracy": 100.0, "unparsed": 0.0},
    "refusal": {"refusal-rate": 100.0},
    "ifeval": {"final": 100.0},
    "judge": {"score": 5.0, "unparsed": 0.0, "average": 10.0},
    "judge[audiobench@e991641]": {"score": 100.0, "success": 100.0},
    "judge[audiobench-binary@e991641]": {"score": 100.0, "success": 100.0},
    "qa": {"gpt": 100.0},
    "instructions": {"followed": 100.0},
    "instructed": {"followed": 100.0, "unparsed": 0.0},
    "win-rate": {"win rate": 50.0, "ties": 100.0, "unparsed": 0.0},  # of the baseline over itself
    "ifeval-audio": {"success": 100.0, "correctness": 100.0, "instruction": 100.0, "unparsed": 0.0},
}
# What has no best value: cost, speed, and opinions that a network has of a recording.
UNBOUNDED = {
    *("bitrate", "codebook", "token-bill", "context", "text-tokens", "modelability", "mos"),
    *("rtf", "rtfx", "codec-time", "throughput"),
}


def perfect(task: TaskResult, *, learns: bool = False) -> None:
    """Assert that every number of a result is the best there is; what a model learns of a codec has no best value."""
    for metric in task.metrics:
        kind = metric.metric.partition("[")[0]
        assert kind in BEST or kind in UNBOUNDED, f"Say what a perfect system gets on {metric.metric}."
        best = BEST.get(metric.metric, BEST.get(kind, {}))
        if metric.name in best and not learns:
            assert metric.strict.value == pytest.approx(best[metric.name], abs=1e-3), metric


def cases() -> list[tuple[str, str]]:
    """Every registered task of this project with every interface it takes."""
    found = []
    for name in TASKS.names():
        found += [(name, interface) for interface in TASKS.get(name)().interfaces]
    return found


@cache
def _known(metric: str, task: str) -> bool:
    """Whether the metric runs a network and a task before this one has run it."""
    tasks = (TASKS.get(name)() for name in TASKS.names())
    having = [t.name for t in tasks if any(metric in variant.metrics for variant in t.variants.values())]
    return bool(METRICS.get(metric).assets) and having[0] != task


def recordings(folder: Path) -> Path:
    """The four clips as 16 kHz WAV files `0.wav` to `3.wav`."""
    folder.mkdir(parents=True, exist_ok=True)
    source = ensure("librivox-pocketsphinx")
    for number, (name, start, end) in enumerate(CLIPS):
        whole = load(source / f"sense_and_sensibility_01_austen_64kb-{name}.wav", RATE).samples
        soundfile.write(folder / f"{number}.wav", whole[round(start * RATE) : round(end * RATE)], RATE)
    return folder


@dataclass(frozen=True)
class World:
    """A task at one interface with its data in `folder` and its best model."""

    task: Task
    interface: str
    folder: Path

    @classmethod
    def of(cls, name: str, interface: str, folder: Path) -> World:
        task = TASKS.get(name)()
        recordings(folder)
        fields = next(rows for prefix, rows in FIELDS if name.startswith(prefix))
        rows = [cls._row(task, number, own) for number, own in enumerate(fields)]
        if "DuplexAgent" in task.interfaces:
            rows = [cls._turn(folder, row) for row in rows]
        world = cls(task, interface, folder)
        world.write(rows)
        return world

    @staticmethod
    def _row(task: Task, number: int, own: dict[str, Any]) -> dict[str, Any]:
        file = f"{number}.wav"
        row = {"id": f"s{number}", "file_name": file, "prompt_file_name": file, "text": TEXTS[number]}
        return {**row, "prompt_text": f"Say it, {number}.", **own}

    @staticmethod
    def _turn(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
        """The user says the clip and is silent for the rest of the channel."""
        said, _ = soundfile.read(folder / row["file_name"], dtype="float32")
        soundfile.write(folder / row["file_name"], np.pad(said, (0, round(2.5 * RATE))), RATE)
        return {**row, "turn_end": len(said) / RATE}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "metadata.jsonl").read_text("utf-8").splitlines()]

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        (self.folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    @property
    def model(self) -> str:
        if self.interface == "DuplexAgent":
            return "Agent"
        return "Loudness" if self.learns else "Perfect"

    @property
    def listener(self) -> str | None:
        """The recognizer that scores speech."""
        return f"{MODELS}:Ear,data={self.folder}" if self.task.recognizer else None

    @property
    def learns(self) -> bool:
        """Whether a language model is trained on the codec, so that what is said is not the codec's doing."""
        return isinstance(self.task.generate, Imported) and self.interface == "AudioCodec"

    @property
    def hearing(self) -> str:
        """The best model that hears its requests."""
        return "Hearing" if self.model == "Perfect" else self.model

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's own; of those that run a network, which take most of the time, what no task before it has run."""
        own = self.task.variants[self.interface].metrics
        return tuple(name for name in own if name not in SLOW and not _known(name, self.task.name))

    def run(self, output: Path, model: str = "", *, seats: Seats | None = None, **settings: Any) -> Results:
        """Through the runner, with this interface alone, scored in this process or on `seats`."""
        name = model or self.model
        file, _, cls = name.rpartition(":")
        given = {
            "data": str(self.folder),
            "metrics": self.metrics,
            "recognizer": self.listener,
            "workers": 1,
            **settings,
        }
        spec = modelspec.parse(f"{file or MODELS}:{cls}")
        with self.small(run_inline if seats is None else seats.score):
            return runner.run(spec, [self.task.name], output, Settings(**given))

    def rescore(self, path: Path) -> Results:
        """Score the answers of a run again."""
        with self.small():
            return runner.rescore(path, Settings(workers=1, recognizer=self.listener))

    @contextmanager
    def small(self, score: Callable[[Any, Any], Iterator[Any]] = run_inline) -> Iterator[None]:
        """One interface, scoring by `score`, and a language model that is trained in no time."""
        with (
            patch.object(ResolvedModel, "interfaces", [self.interface]),
            patch.object(scoring, "run_processes", lambda function, jobs, workers: score(function, jobs)),
            patch.dict(budgets.BUDGETS, {name: self._budget() for name in budgets.BUDGETS}),
        ):
            yield

    def _budget(self) -> budgets.Budget:
        """A language model that learns next to nothing from other sentences of the reader."""
        training = self.folder.parent / "training"
        if not training.is_dir():
            source = ensure("librivox-pocketsphinx")
            training.mkdir()
            whole = load(source / "sense_and_sensibility_01_austen_64kb-0870.wav", RATE).samples
            soundfile.write(training / "t.wav", whole[: 2 * RATE], RATE)
            row = {"id": "t", "file_name": "t.wav", "text": "and mister john dashwood"}
            (training / "metadata.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
        return budgets.Budget((str(training),), 2.0, 2, 2.0, 16, 1, 2, 32, 512, 1e-2)


class Seats:
    """Worker processes that stay, so that their models are loaded once for all tasks."""

    def __init__(self, count: int) -> None:
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=start_worker)

    def score(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        """Answers as they come, which is in no order."""
        for done in as_completed([self._pool.submit(function, job) for job in jobs]):
            yield done.result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _is_speech(content: list[dict[str, Any]]) -> bool:
    """Whether the sound of a request is no noise: of noise, neighboring samples are unlike each other."""
    (sound,) = (part["input_audio"]["data"] for part in content if part["type"] == "input_audio")
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(sound)))
    return bool(samples[1:] @ samples[:-1] > 0.3 * samples @ samples)


class _Judge(BaseHTTPRequestHandler):
    """Rates an answer 5, or says yes, if it is one of those in `TEXTS`; else 1, or no. Of two answers, 10 or 1 each."""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = asked["messages"][-1]["content"]
        said = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
        answer = re.search(r"(?:Assistant|Answer given|Answer to rate): (.*)", said)
        good = answer is not None and answer[1] in TEXTS
        pair = re.search(r"First answer: (.*)\nSecond answer: (.*)", said)
        verdict = ("Yes" if good else "No") if "Yes or No" in said else ("5" if good else "1")
        if "一致性" in said:
            verdict = json.dumps({"一致性": "low voice" in said and _is_speech(content)}, ensure_ascii=False)
        if "winner" in said:
            sounds = {part["input_audio"]["data"] for part in content if part["type"] == "input_audio"}
            verdict = json.dumps({"winner": 0 if len(sounds) == 1 else 1})
        if "Rating: NUMBER" in said:
            verdict = f"Rating: {(1 if '1: it is right' in said else 5) if good else 0}"
        if "OVERALL" in said:
            verdict = f"OVERALL: {5 if good else 1}"
        if "Correctness Rating" in said:
            verdict = f"Correctness Rating: {int(good)}"
        if pair is not None:
            verdict = " ".join("10" if text in TEXTS else "1" for text in pair.groups())
        body = json.dumps({"choices": [{"message": {"content": verdict}}] * asked["n"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def judge(folder: Path) -> Iterator[None]:
    """A judge over HTTP that the metrics ask, its replies stored in `folder`."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Judge)) as server:
        spec = f"openai:http://127.0.0.1:{server.server_address[1]}/v1#fair"
        with patch.dict(os.environ, {judges.VARIABLE: spec, judges.CACHE_VARIABLE: str(folder)}):
            yield
