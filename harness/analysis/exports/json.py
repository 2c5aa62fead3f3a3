"""JSON: the results of the runs as they are stored, and which numbers are not calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence

from speech_eval.analysis.human_baseline import uncalibrated
from speech_eval.progress import escaped
from speech_eval.records import RESULTS_VERSION, Results


def to_json(results: Sequence[Results]) -> str:
    """One JSON object that ends in a newline."""
    pairs = [(result, task, uncalibrated(task, results)) for result in results for task in result.tasks]
    data = {
        "schema_version": RESULTS_VERSION,
        "results": [result.model_dump(mode="json") for result in results],
        "uncalibrated": [{"model": r.name, "task": t.task, "metrics": list(names)} for r, t, names in pairs if names],
    }
    lines = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False).split("\n")  # none within a text
    return "\n".join(map(escaped, lines)) + "\n"
