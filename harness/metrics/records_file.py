"""One metric on your own records, without a model, a task or a run: `speech-eval metric METRIC_ID --input FILE`.

A record is one JSON object per line: `id`; `hypothesis` (or `response`), null or absent for a missing answer;
`reference`; `language`; `audio`, `reference_audio`, `prompt_audio` as paths relative to the file; and what was measured
of the answer (`MEASURED`). Every other field reaches the metric as the sample's metadata. Names that other tools write
are read too: the first of `HYPOTHESIS` and of `REFERENCE` that a record has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speech_eval.audio import Audio, load
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unit, Unscorable, Value
from speech_eval.metrics.catalog import METRICS, present_name
from speech_eval.records import Output, Sample, Status
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.summaries import rows, value
from speech_eval.text import language_name, language_tag
from speech_eval.text.detect import UNKNOWN, detect_language

HYPOTHESIS = ("hypothesis", "response", "prediction", "pred_text", "hyp", "model_output", "model_prediction")
REFERENCE = ("reference", "ref", "text", "ground_truth", "target", "answer_gt", "answer")
OTHERS = ("id", "language", "audio", "reference_audio", "prompt_audio")
# Fields that are measurements of the answer, by the record of the output that they fill.
TIMING = ("wall_seconds", "encode_seconds", "decode_seconds")
TOKEN_MODEL = ("lm_bits", "lm_bits_given_text", "ended", "lm")
PROBABILITIES = ("probabilities", "frame_seconds")
MEASURED = ("time", "codebooks", *TIMING, *TOKEN_MODEL, *PROBABILITIES)
# What a record calls the fields of a sample or an output that it fills.
_CALLED = {
    "text": "reference",
    "audio": "reference_audio",
    "seconds": "time",
    "token_model.bits": "lm_bits",
    "token_model.bits_given_text": "lm_bits_given_text",
    "speech_probabilities.values": "probabilities",
}


def evaluate(metric_id: str, path: Path, language: str | None = None) -> dict[str, Any]:
    """Score every record of a JSONL file and aggregate. `language` is that of the records that state none; without it
    their references tell it.

    Returns `{"metric", "version", "notes", "samples": [{"id", "status", "value", "compat", "parts", "compat_parts",
    …detail}], "aggregate": {"strict": {summary: number}, "compat": {…}, "units": {…}, "intervals": {…}}}`. A sample's
    `value` is the metric's first number for that sample alone, unscaled, and `compat` the same by the original's code,
    null where it leaves the sample out; aggregates are in the unit that `speech-eval list metrics` shows. `notes` are
    sentences on what was assumed and what misleads.
    """
    metric: Metric = METRICS.get(present_name(metric_id))()
    records, notes = _in_language(list(read(path)), language)
    if metric.id != metric_id:
        notes.insert(0, f"{metric_id} is now called {metric.id}.")
    notes += dict.fromkeys(filter(None, (metric.caution(sample) for sample, _ in records)))
    scored = [(sample, *_score(metric, item)) for sample, item in records]
    units = metric.pool([Unit(sample, parts, compat, detail) for sample, _, parts, compat, detail in scored])
    strict = [unit.strict for unit in units]
    compat = [unit.compat for unit in units if unit.compat is not None]
    summaries = metric.reported(units)
    return {
        "metric": metric.id,
        "version": metric.version,
        "scorer": metric.scorer(),
        "n": len(scored),
        "notes": notes,
        "samples": [
            {
                "id": sample.id,
                "status": status,
                "value": _alone(summaries[0], parts),
                "compat": None if compat_parts is None else _alone(summaries[0], compat_parts),
                "parts": parts,
                "compat_parts": compat_parts,
                **detail,
            }
            for sample, status, parts, compat_parts, detail in scored
        ],
        "aggregate": {
            "strict": {s.name: _value(s, strict) for s in summaries},
            "compat": {s.name: _value(s, compat) for s in summaries},
            "units": {s.name: s.unit for s in summaries},
            "intervals": {s.name: _interval(metric, s, strict) for s in summaries},
        },
    }


def read(path: Path) -> Iterator[tuple[Sample, ScoringItem]]:
    """Samples and scoring items of a file of records; raises `BadInput` naming file and line."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file.", "Give a JSON lines file, one record per line.")
    seen: set[str] = set()
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 ({error.reason}).", "Save the file as UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(f"{where}: not JSON ({error.msg}).", "Write one JSON object per line.") from error
        if not isinstance(record, dict) or not isinstance(record.get("id"), str | int):
            raise BadInput(f"{where}: not an object with an `id`.", 'Write {"id": "…", "hypothesis": "…", …}.')
        sample, item = _item(record, where, path.parent)
        if sample.id in seen:
            raise BadInput(f"{where}: the id '{sample.id}' occurs twice.", "Give every record a unique id.")
        seen.add(sample.id)
        yield sample, item
    if not seen:
        raise BadInput(f"{path}: no records.", "Write one JSON object per line.")


def _in_language(
    records: list[tuple[Sample, ScoringItem]], language: str | None
) -> tuple[list[tuple[Sample, ScoringItem]], list[str]]:
    """The records with a language for each that states none, and a note where the references told it."""
    untold = [sample for sample, _ in records if sample.language == UNKNOWN]
    if not untold:
        return records, []
    tag = language_tag(language) if language else detect_language(sample.text for sample in untold if sample.text)
    notes = (
        [] if language or tag == UNKNOWN else [f"No language is stated; by the references it is {language_name(tag)}."]
    )
    found = []
    for sample, item in records:
        if sample.language == UNKNOWN:
            sample = sample.model_copy(update={"language": tag})
        found.append((sample, replace(item, sample=sample)))
    return found, notes


def _item(record: dict[str, Any], where: str, folder: Path) -> tuple[Sample, ScoringItem]:
    said, right = (next((name for name in names if name in record), names[0]) for names in (HYPOTHESIS, REFERENCE))
    hypothesis = record.get(said)
    if not isinstance(hypothesis, str | None):
        raise BadInput(f"{where}: `{said}` is not text.", "Give a string, or null for a missing answer.")
    try:
        sample = Sample(
            id=str(record["id"]),
            text=record.get(right),
            language=language_tag(record["language"]) if record.get("language") else UNKNOWN,
            audio=record.get("reference_audio"),
            prompt_audio=record.get("prompt_audio"),
            metadata={key: value for key, value in record.items() if key not in (said, right, *OTHERS, *MEASURED)},
        )
        output = Output.model_validate(
            {"id": sample.id, "task": "metric", "status": "ok", "seed": 0, "text": hypothesis, **_measured(record)}
        )
    except BadInput as error:
        raise BadInput(f"{where}: {error.problem}", error.remedy) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        name = _CALLED.get(place, place.split(".")[-1])
        raise BadInput(f"{where}: `{name}`: {first['msg']}.", "See docs/protocols.md for the fields.") from error
    status: Status = "ok"
    stated = {key for key in record if key not in (said, right, *OTHERS)}
    if hypothesis is None and record.get("audio") is None and not stated:
        status = "failed"
    elif hypothesis is not None and not hypothesis.strip() and record.get("audio") is None:
        status = "empty"
    output = output.model_copy(update={"status": status})
    duration = record.get("duration") if record.get("reference_audio") is None else None

    def reader(key: str) -> Callable[[int | None], Audio] | None:
        name = record.get(key)
        return None if name is None else (lambda rate: load(folder / str(name), rate))

    return sample, ScoringItem(
        sample=sample,
        output=output,
        hypothesis=hypothesis,
        load_audio=reader("audio"),
        load_prompt=reader("prompt_audio"),
        load_reference=reader("reference_audio"),
        stated_seconds=float(duration) if isinstance(duration, int | float) else None,
    )


def _measured(record: dict[str, Any]) -> dict[str, Any]:
    """The fields of an `Output` that a record's measurements fill."""

    def some(**names: str) -> dict[str, Any]:
        return {field: record[name] for field, name in names.items() if record.get(name) is not None}

    found = some(seconds="time")
    if timing := some(**{name: name for name in TIMING}):
        found["timing"] = timing
    if record.get("codebooks") is not None:
        found["codes"] = some(seconds="seconds", codebooks="codebooks")
    if record.get("lm_bits") is not None:
        trained = some(bits="lm_bits", bits_given_text="lm_bits_given_text", ended="ended")
        found["token_model"] = {**(record.get("lm") or {}), **trained}
    if record.get("probabilities") is not None:
        found["speech_probabilities"] = some(values="probabilities", frame_seconds="frame_seconds")
    return found


def _score(
    metric: Metric, item: ScoringItem
) -> tuple[Status, dict[str, float], dict[str, float] | None, dict[str, Any]]:
    """Status, parts, compat parts and detail of one record, by the rules of the scoring stage."""
    missing = "hypothesis" in metric.needs and item.hypothesis is None
    if item.output.status == "failed" or missing:
        return _lost(metric, item, "no answer")
    try:
        value: Value = metric.score(item)
    except Unscorable as error:
        return _lost(metric, item, error.problem)
    return "ok", value.parts, value.parts if value.compat is None else value.compat, value.detail or {}


def _lost(metric: Metric, item: ScoringItem, reason: str) -> Any:
    return "failed", metric.failure(item.sample), metric.compat_failure(item.sample), {"reason": reason}


def _alone(summary: Summary, parts: dict[str, float]) -> float | None:
    """The number of one sample, unscaled; None where it lacks a part (a chunk of a call)."""
    return _value(replace(summary, scale=1.0), [parts]) if {*summary.parts} <= {*parts} else None


def _value(summary: Summary, parts: list[dict[str, float]]) -> float | None:
    """The exact aggregate, not rounded."""
    found = value(summary, rows(summary, parts)) if parts else math.nan
    return found if math.isfinite(found) else None


def _interval(metric: Metric, summary: Summary, parts: list[dict[str, float]]) -> list[float | None]:
    found = estimate(summary, parts, seed=f"metric/{metric.id}/{summary.name}")
    return [found.low, found.high]
