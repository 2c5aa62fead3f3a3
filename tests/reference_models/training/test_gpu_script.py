"""The script for whoever holds an accelerator runs to its end on a CPU, so that nothing but the device is new."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu.sh"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_measurement_gives_numbers_in_its_smallest_shape() -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), "--tiny"],
        capture_output=True,
        text=True,
        check=True,
        timeout=560,
        env=os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    measured = {row["measurement"] for row in rows}
    compared, timed = {"equal", "resume", "stream", "codes"}, {"recipes", "lm", "csm", "codec", "sampling", "budget"}
    assert measured == {"device", "took", "curves", "compile"} | compared | timed
    assert not any("error" in row or "left_out" in row for row in rows)
    numbers = [(name, value) for row in rows for name, value in row.items() if isinstance(value, float)]
    assert all(math.isfinite(value) for _, value in numbers)
    assert all(value > 0 for name, value in numbers if name not in ("gigabytes", "first_step", "largest_difference"))
    of = {what: [row for row in rows if row["measurement"] == what] for what in compared}
    # Beside itself, a CPU computes the same.
    assert all(row["largest_difference"] == 0 for row in (*of["equal"], *of["resume"]))
    assert all(row["same_codes"] == 1 and row["largest_difference"] < 1e-4 for row in of["stream"])
    assert all(row["cpu"] == 1 and row["bf16"] > 0.9 for row in of["codes"])
    assert {row["recipe"].split("/")[0] for row in of["equal"]} == {"codec", "conversation", "tts"}
    (curves,) = [row for row in rows if row["measurement"] == "curves"]
    assert curves["largest_difference"] < 0.01 and curves["float32"][-1] < curves["float32"][0]
