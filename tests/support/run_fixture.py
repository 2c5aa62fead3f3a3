"""Small but complete run directories, with real FLAC audio and real bootstrap intervals, for tests that read runs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jiwer
import numpy as np

from speech_eval.audio import Audio
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.metrics.base import Summary
from speech_eval.records import (
    Counts,
    DatasetRecord,
    Environment,
    Event,
    GitState,
    Hardware,
    Manifest,
    MetricResult,
    ModelInfo,
    Output,
    Results,
    Sample,
    Score,
    StoredAudio,
    TaskRecord,
    TaskResult,
    Transcript,
)
from speech_eval.statistics.bootstrap import estimate

ASR, TTS, LATENCY = "open-asr", "seed-tts", "latency"
SENTENCES = (
    "the harbour lights went out one by one before the storm",
    "she counted eleven gray herons along the canal",
    "nobody had wound the kitchen clock since the winter",
    "please forward the signed papers before friday noon",
    "the train to the coast leaves from the far platform",
    "a narrow path climbs between the vineyards and the wall",
    "they measured the depth of the well with a knotted rope",
    "his letters arrived years after the war was over",
    "the orchestra tuned while the audience found its seats",
    "fresh bread is sold at the corner until it runs out",
    "the museum keeps its oldest maps in a dark drawer",
    "rain on a tin roof makes a good conversation impossible",
)
_WRONG = ("harbor", "paper", "the", "clocks", "rope", "while", "seat", "dark")
_WER = Summary("wer", "ratio", ("errors", "words"), "%", "lower", 100.0)
_SUMMARIES: dict[str, tuple[tuple[str, Summary], ...]] = {
    ASR: (
        ("wer[open-asr@2025-10]", _WER),
        ("cer[open-asr@2025-10]", Summary("cer", "ratio", ("errors", "characters"), "%", "lower", 100.0)),
    ),
    TTS: (
        ("wer[seed-tts-eval@2024-06]", Summary("wer", "mean", ("wer",), "%", "lower", 100.0)),
        ("sim[campplus-cn-en@2024]", Summary("sim", "mean", ("sim",), "", "higher")),
    ),
    LATENCY: (
        ("ttfa[leading-silence@1]", Summary("ttfa p50", "quantile", ("ttfa",), "s", "lower", 1.0, 0.5)),
        ("ttfa[leading-silence@1]", Summary("ttfa p95", "quantile", ("ttfa",), "s", "lower", 1.0, 0.95)),
        ("rtf[wall@1]", Summary("rtf", "ratio", ("seconds", "speech"), "", "lower")),
    ),
}
_READINGS = {"name": "readings", "version": "1", "license": "CC-BY-4.0", "source": "read aloud", "attribution": "Jo"}
_PROMPTS = {**_READINGS, "name": "readings-prompts", "license": "CC0-1.0"}
_DATASETS: dict[str, dict[str, Any]] = {ASR: _READINGS, TTS: _PROMPTS, LATENCY: _READINGS}


def tone(seed: int, seconds: float = 0.6, rate: int = 16000) -> Audio:
    """A voiced-sounding buzz: a few harmonics that glide, under a slow envelope; samples [frames]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(110 + 60 * rng.random() + 15 * np.sin(2 * np.pi * 3 * time)) / rate
    wave = sum(np.sin(k * phase) / k for k in range(1, 6))
    return Audio((0.2 * wave * np.sin(np.pi * time / seconds) ** 0.3).astype(np.float32), rate)


def write_run(
    root: Path,
    model: str = "whisper-base",
    *,
    tasks: Sequence[str] = (ASR, TTS, LATENCY),
    error_rate: float = 0.15,
    failed: int = 1,
    empty: int = 0,
    missing: int = 0,
    samples: int = 8,
    seed: int = 0,
    limit: int | None = None,
    audio: bool = True,
) -> Path:
    """Write `root/<model>-<seed>` and return it. Each task loses its last samples to `missing`, `failed`, `empty`."""
    run = RunDirectory(root / f"{model}-{seed}".replace("/", "_").replace(":", "_"))
    statuses = ["ok"] * (samples - failed - empty - missing) + ["empty"] * empty + ["failed"] * failed
    results = [_write_task(run, task, model, statuses, error_rate, samples, seed, limit, audio) for task in tasks]
    run.write_results(Results(model=model, seed=seed, tasks=results))
    run.write_manifest(
        Manifest(
            harness_version="0.1.0",
            model=ModelInfo(
                spec=model,
                name=model,
                interfaces=["SpeechRecognizer", "SpeechSynthesizer"],
                revision="3f2a9c",
                weights_sha256=f"{zlib.crc32(model.encode()):08x}" * 8,
                license="MIT",
                parameters=72_593_920,
                options={"batch_size": 4},
            ),
            seed=seed,
            tasks={result.task: _record(result) for result in results},
            environment=Environment(
                python="3.11.9",
                packages={"numpy": "2.3.1", "torch": "2.13.0"},
                hardware=Hardware(processor="a processor", cores=2, memory_gib=8),
                git=GitState(commit="0" * 40, dirty=False),
            ),
            events=[Event(event="generated", at="2026-01-01T00:00:00Z")],
        )
    )
    return run.path


def _record(result: TaskResult) -> TaskRecord:
    return TaskRecord(
        version=result.version,
        protocol=result.protocol,
        interface=result.interface,
        primary=next(metric.metric for metric in result.metrics if metric.primary),
        metrics=list(dict.fromkeys(metric.metric for metric in result.metrics)),
        recognizer="whisper-tiny.en",
        limit=result.limit,
        samples=result.counts.expected,
        dataset=DatasetRecord(location=result.dataset, sha256=result.dataset_sha256, **_DATASETS[result.task]),
    )


def _write_task(
    run: RunDirectory,
    task: str,
    model: str,
    statuses: list[str],
    error_rate: float,
    expected: int,
    seed: int,
    limit: int | None,
    audio: bool,
) -> TaskResult:
    rng = np.random.default_rng(zlib.crc32(f"{task} {model} {seed}".encode()))
    samples = [
        Sample(id=f"{task}-{i:03d}", text=SENTENCES[i % len(SENTENCES)], speaker=f"s{i % 3}") for i in range(expected)
    ]
    outputs, transcripts, scores = [], [], []
    for sample, status in zip(samples, statuses, strict=False):
        assert sample.text is not None
        heard = _mishear(sample.text, error_rate, rng) if status == "ok" else ""
        stored = _store(run, task, sample.id, rng, audio) if status == "ok" and task != ASR else None
        output = Output(
            id=sample.id,
            task=task,
            status=_status(status),
            seed=seed,
            text=heard.capitalize() if task == ASR and status != "failed" else None,
            audio=stored,
            error="RuntimeError: the decoder ran past 448 tokens" if status == "failed" else None,
            seconds=round(0.2 + 0.1 * rng.random(), 4),
        )
        outputs.append(output)
        if stored is not None:
            transcripts.append(Transcript(id=sample.id, scorer="whisper-tiny.en", output=output.digest(), text=heard))
        parts_of = _parts(task, sample.text, heard, status, rng)
        detail = {"reference": sample.text, "hypothesis": heard} if task != LATENCY and status == "ok" else {}
        for metric, parts in parts_of.items():
            scores.append(
                Score(
                    id=sample.id,
                    metric=metric,
                    output=output.digest(),
                    status=_status(status),
                    parts=parts,
                    detail=detail if metric.startswith("wer") else {},
                )
            )
    run.replace("samples", task, samples)
    run.replace("outputs", task, outputs)
    run.replace("transcripts", task, transcripts)
    run.replace("scores", task, scores)
    gone = expected - len(statuses)
    metrics = []
    for position, (metric, summary) in enumerate(_SUMMARIES[task]):
        lines = [score for score in scores if score.metric == metric]
        worst = _parts(task, "a b c d e f", "", "failed", rng)[metric]
        strict = [score.parts for score in lines] + [worst] * gone
        compat = [score.parts for score in lines if score.status == "ok"]
        metrics.append(
            MetricResult(
                metric=metric,
                name=summary.name,
                unit=summary.unit,
                direction=summary.direction,
                primary=position == 0,
                strict=estimate(summary, strict, seed=f"{task}/{metric}", resamples=400),
                compat=estimate(summary, compat, seed=f"{task}/{metric}", resamples=400),
            )
        )
    counted = {name: statuses.count(name) for name in ("ok", "empty", "failed")}
    return TaskResult(
        task=task,
        version=1,
        protocol={ASR: "open-asr@2025-10", TTS: "seed-tts-eval@2024-06", LATENCY: "leading-silence@1"}[task],
        interface="SpeechRecognizer" if task == ASR else "SpeechSynthesizer",
        dataset=_DATASETS[task]["name"],
        dataset_sha256=f"{zlib.crc32(task.encode()):08x}" * 8,
        language=["en"],
        limit=limit,
        leaderboard_grade=limit is None,
        counts=Counts(expected=expected, missing=gone, **counted),
        metrics=metrics,
    )


def _status(text: str) -> Literal["ok", "empty", "failed"]:
    assert text in ("ok", "empty", "failed")
    return text  # type: ignore[return-value]


def _store(run: RunDirectory, task: str, sample: str, rng: np.random.Generator, audio: bool) -> StoredAudio:
    wave = tone(int(rng.integers(1 << 30)), 0.4 + 0.3 * rng.random(), 16000 if task == TTS else 22050)
    if audio:
        return run.write_audio(task, sample, wave)
    return StoredAudio(path=f"audio/{task}/{sample}.flac", sha256="0" * 64, rate=16000, frames=9600, peak=0.5)


def _mishear(text: str, rate: float, rng: np.random.Generator) -> str:
    words: list[str] = []
    for word in text.split():
        draw = rng.random()
        if draw < rate * 0.25:
            continue
        words.append(str(rng.choice(_WRONG)) if draw < rate * 0.8 else word)
        if rate * 0.8 <= draw < rate:
            words.append(str(rng.choice(_WRONG)))
    return " ".join(words)


def _parts(task: str, text: str, heard: str, status: str, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Parts that metrics store for a sample; the worst values where it failed."""
    if task == LATENCY:
        if status == "failed":
            return {"ttfa[leading-silence@1]": {}, "rtf[wall@1]": {"seconds": 10.0, "speech": 1.0}}
        ttfa = float(0.12 + 0.03 * rng.random() + 0.2 * (rng.random() > 0.85))
        return {"ttfa[leading-silence@1]": {"ttfa": ttfa}, "rtf[wall@1]": {"seconds": 2 * ttfa, "speech": 1.5}}
    words = len(text.split())
    errors = float(words if not heard else round(jiwer.wer(text, heard) * words))
    if task == TTS:
        sim = float(0.75 + 0.1 * rng.standard_normal()) if status == "ok" else 0.0
        return {"wer[seed-tts-eval@2024-06]": {"wer": errors / words}, "sim[campplus-cn-en@2024]": {"sim": sim}}
    letters = float(len(text))
    wrong = letters if not heard else round(jiwer.cer(text, heard) * letters)
    return {
        "wer[open-asr@2025-10]": {"errors": errors, "words": float(words)},
        "cer[open-asr@2025-10]": {"errors": float(wrong), "characters": letters},
    }
