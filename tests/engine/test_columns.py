"""A dataset's columns are facts of the dataset: whatever they are called, a run does not take them for its own."""

from __future__ import annotations

import json
from pathlib import Path

from speech_eval.adapters import spec as modelspec
from speech_eval.engine.session import run
from speech_eval.engine.settings import Settings
from speech_eval.records import Results

ROWS = [{"id": f"s{i}", "text": text, "language": "en"} for i, text in enumerate(("good words", "more good words"))]
STRANGE = {"wall_seconds": 0.001, "encode_seconds": 1.0, "time": 0.001, "round": 3, "item": "other", "seconds": 9.0}


def results(folder: Path, columns: dict[str, object], rounds: int) -> Results:
    folder.mkdir()
    lines = [json.dumps({**row, "metadata": columns}) + "\n" for row in ROWS]
    (folder / "set.jsonl").write_text("".join(lines))
    settings = Settings(data=str(folder / "set.jsonl"), rounds=rounds, workers=1)
    return run(modelspec.parse("oracle"), ["latency"], folder / "run", settings)


def test_columns_named_like_measurements_change_no_number(tmp_path: Path) -> None:
    for rounds in (1, 2):
        (plain,) = results(tmp_path / f"plain{rounds}", {}, rounds).tasks
        (strange,) = results(tmp_path / f"strange{rounds}", STRANGE, rounds).tasks
        assert plain.counts.ok == len(ROWS) * rounds
        assert (strange.metrics, strange.counts, strange.conditions) == (plain.metrics, plain.counts, plain.conditions)
