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
def test_every_measurement_gives_numbers_in_its_smallest_shape() -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), "--tiny"],
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
        env=os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    measured = {row["measurement"] for row in rows}
    assert measured == {"device", "codec", "lm", "csm", "curves", "compile", "sampling", "budget", "took"}
    assert not any("error" in row for row in rows)
    numbers = [(name, value) for row in rows for name, value in row.items() if isinstance(value, float)]
    assert all(math.isfinite(value) and (value > 0 or name == "gigabytes") for name, value in numbers)
    (curves,) = [row for row in rows if row["measurement"] == "curves"]
    assert curves["largest_difference"] < 0.01 and curves["float32"][-1] < curves["float32"][0]
