"""The picture of a run: one page that opens in a browser, with a curve per loss and per codebook."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from speech_eval.reference_models.training.charts import Chart, figure, ticks
from speech_eval.reference_models.training.curves import charts_of, write_curves

ROWS = [
    {
        "step": step,
        "seconds": 6.0 * step,
        "losses": {"mel": 2.0 / step, "commitment": 0.1},
        "usage": [0.5, 0.25],
        "mfu": 0.1,
    }
    for step in range(10, 60, 10)
]


def test_a_page_has_a_chart_per_loss_and_a_curve_per_codebook(tmp_path: Path) -> None:
    page = write_curves(tmp_path, "codec/<mine>", ROWS, 100, finished=True).read_text("utf-8")
    drawings = [ElementTree.fromstring(drawing) for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    elements = [element for drawing in drawings for element in drawing.iter()]
    words = {element.text for element in elements if element.tag.endswith("text")}
    lines = [element for element in elements if element.tag.endswith("polyline")]
    assert {"mel", "commitment", "usage, share of the codes, by codebook", "step"} <= words
    assert len(drawings) == 4 and len(lines) == 5 and "codec/&lt;mine&gt;" in page and "step 50 of 100, 5.0 min" in page
    assert not re.findall(r"(?:src|href)=", page), "nothing is loaded from elsewhere"


def test_the_page_renews_itself_only_while_the_run_goes_on(tmp_path: Path) -> None:
    assert 'http-equiv="refresh"' in write_curves(tmp_path, "a", ROWS, 100, finished=False).read_text("utf-8")
    assert 'http-equiv="refresh"' not in write_curves(tmp_path, "a", ROWS, 100, finished=True).read_text("utf-8")


def test_a_long_log_is_thinned_and_keeps_its_last_point() -> None:
    rows = [{"step": step, "seconds": 1.0, "loss": 1.0} for step in range(1, 5001)]
    (chart,) = charts_of(rows)
    points = chart.series["loss"]
    assert len(points) < 500 and points[0][0] == 1 and points[-1][0] == 5000


def test_points_lie_where_the_axes_say() -> None:
    drawing = ElementTree.fromstring(
        figure([Chart("t", {"a": [(0, 0.0), (10, 1.0)]}, y_zero=True)], width=400, height=200)
    )
    (line,) = [element for element in drawing.iter() if element.tag.endswith("polyline")]
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in str(line.get("points")).split())
    labels = {e.text: (float(e.get("x", 0)), float(e.get("y", 0))) for e in drawing.iter() if e.tag.endswith("text")}
    assert x0 < x1 and y0 > y1
    assert labels["10"][0] == pytest.approx(x1) and labels["1"][1] == pytest.approx(y1 + 4)


@pytest.mark.parametrize(
    ("low", "high", "found"), [(0, 10, [0, 2, 4, 6, 8, 10]), (0.2, 0.9, [0.2, 0.4, 0.6, 0.8]), (3, 3, [3])]
)
def test_ticks_are_round(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high) == found


def test_values_that_are_not_finite_leave_a_gap() -> None:
    assert "no values yet" in figure([Chart("t", {"a": [(1, float("nan"))]})])
