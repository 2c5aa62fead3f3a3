"""Results and samples as pandas data frames (extra `pandas`). Exports share the records behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from speech_eval.analysis.report import Row, rows
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import require
from speech_eval.records import Results

if TYPE_CHECKING:
    from pandas import DataFrame

RESULT_COLUMNS = (
    *("model", "label", "seed", "task", "task_version", "protocol", "interface", "dataset", "dataset_sha256", "limit"),
    *("leaderboard_grade", "ranked", "axis", "metric", "name", "unit", "direction", "primary", "scorer", "calibrated"),
    *("strict", "strict_low", "strict_high", "strict_n", "compat", "compat_low", "compat_high", "compat_n"),
    *("expected", "ok", "empty", "failed", "missing", "invalid"),
)


def results_frame(results: Sequence[Results]) -> DataFrame:
    """One row per number of the runs, derived numbers included; the columns are `RESULT_COLUMNS`.

    Numbers are in `unit`, undefined ones are missing. Raises `MissingExtra` without pandas.
    """
    return _pandas().DataFrame(result_records(results), columns=list(RESULT_COLUMNS))


def result_records(results: Sequence[Results]) -> list[dict[str, Any]]:
    """The rows of `results_frame` as dictionaries."""
    return [_record(row) for row in rows(results)]


def _record(row: Row) -> dict[str, Any]:
    task, metric = row.task, row.metric
    found: dict[str, Any] = {"model": row.result.model, "label": row.result.name}
    found |= {"seed": row.result.seed, "task_version": task.version}
    for name in ("task", "protocol", "interface", "dataset", "dataset_sha256", "limit", "leaderboard_grade", "ranked"):
        found[name] = getattr(task, name)
    for name in ("axis", "metric", "name", "unit", "direction", "primary", "scorer"):
        found[name] = getattr(metric, name)
    found["calibrated"] = row.calibrated
    for side, estimate in (("strict", metric.strict), ("compat", metric.compat)):
        found |= {side: estimate.value, f"{side}_low": estimate.low, f"{side}_high": estimate.high}
        found[f"{side}_n"] = estimate.n
    return found | task.counts.model_dump()


def samples_frame(run: RunDirectory, task: str | None = None) -> DataFrame:
    """One row per sample of a run (of one task, or of all): what the model was given, what it answered, and its scores.

    Scores are columns `METRIC/PART`, such as `wer[whisper-normalizer@20250625]/errors`; `audio` is the path of the
    answer, `transcript` what the scoring recognizer heard in it. Raises `MissingExtra` without pandas.
    """
    tasks = list(run.manifest().tasks) if task is None else [task]
    return _pandas().DataFrame([record for name in tasks for record in _samples(run, name)])


def _samples(run: RunDirectory, task: str) -> list[dict[str, Any]]:
    outputs, transcripts = run.outputs(task), run.transcripts(task)
    parts: dict[str, dict[str, float]] = {}
    for (sample_id, metric), score in run.scores(task).items():
        parts.setdefault(sample_id, {}).update({f"{metric}/{name}": value for name, value in score.parts.items()})
    found = []
    for sample in run.samples(task):
        output, heard = outputs.get(sample.id), transcripts.get(sample.id)
        record: dict[str, Any] = {"task": task, "id": sample.id, "reference": sample.text, "language": sample.language}
        record |= {"speaker": sample.speaker, "cluster": sample.cluster}
        record["status"] = "missing" if output is None else output.status
        record["text"] = None if output is None else output.text
        record["transcript"] = None if heard is None else heard.text
        record["audio"] = None if output is None or output.audio is None else str(run.audio_path(output.audio))
        record["seconds"] = None if output is None else output.seconds
        record["error"] = None if output is None else output.error
        found.append(record | parts.get(sample.id, {}))
    return found


def _pandas() -> Any:
    return require("pandas", "pandas")
