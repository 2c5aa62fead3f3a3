"""A metric over records of one's own, as `speech-eval metric` scores them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speech_eval.metrics.records_file import evaluate


class Scored:
    """A metric over records, which are numbered from 1 in their order."""

    def __init__(self, metric: str, folder: Path, records: list[dict[str, Any]]) -> None:
        path = folder / "records.jsonl"
        path.write_text("".join(json.dumps({"id": str(i), **r}) + "\n" for i, r in enumerate(records, 1)))
        found = evaluate(metric, path)
        self.strict, self.compat = found["aggregate"]["strict"], found["aggregate"]["compat"]
        self.samples = found["samples"]
