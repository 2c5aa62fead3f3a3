"""Line charts as SVG without a plotting library: axes with ticks, one color per series, a legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's palette, which readers with color blindness can tell apart.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f00", "#444444")
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 30, 40
Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Series of points (x, y) under a title. `x_log2` spaces x logarithmically; `y_zero` starts y at 0; `labels` writes
    each value beside its point."""

    title: str
    series: Mapping[str, Sequence[Point]]
    x_label: str = "step"
    x_log2: bool = False
    y_zero: bool = False
    labels: bool = False


def figure(charts: Sequence[Chart], width: int = 560, height: int = 260) -> str:
    """The charts one below the other, as one SVG document."""
    cells = [
        f'<g transform="translate(0,{index * height})">{_chart(chart, width, height)}</g>'
        for index, chart in enumerate(charts)
    ]
    tall = len(charts) * height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(cells)}</svg>\n'
    )


def text(x: float, y: float, words: str, anchor: str = "middle", color: str = "#333", weight: str = "normal") -> str:
    """Words at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-weight="{weight}">'
        f"{escape(words)}</text>"
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `wanted` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _chart(chart: Chart, width: int, height: int) -> str:
    points = [point for series in chart.series.values() for point in series if math.isfinite(point[1])]
    marks = [text(_LEFT, 18, chart.title, "start", "#111", "bold")]
    if not points:
        return "".join([*marks, text(width / 2, height / 2, "no values yet")])
    scale = (lambda x: math.log2(max(x, 1e-9))) if chart.x_log2 else float
    left, right = min(scale(x) for x, _ in points), max(scale(x) for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    low = min(low, 0.0) if chart.y_zero else low
    room = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    low, high = low - (0.0 if chart.y_zero else room), high + room

    def at(x: float, y: float) -> Point:
        across = (scale(x) - left) / (right - left) if right > left else 0.5
        return (
            _LEFT + across * (width - _LEFT - _RIGHT),
            height - _BOTTOM - (y - low) / (high - low) * (height - _TOP - _BOTTOM),
        )

    for y in ticks(low, high, 4):
        _, place = at(points[0][0], y)
        marks.append(f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}" stroke="#e3e3e3"/>')
        marks.append(text(_LEFT - 6, place + 4, f"{y:.4g}", "end", "#666"))
    shown = sorted({x for x, _ in points}) if chart.x_log2 else ticks(left, right)
    marks += [text(at(x, low)[0], height - _BOTTOM + 16, f"{x:g}", color="#666") for x in shown]
    marks.append(text((_LEFT + width - _RIGHT) / 2, height - 6, chart.x_label, color="#666"))
    legend = float(width - _RIGHT)
    for index, (name, series) in reversed(list(enumerate(chart.series.items()))):
        color = COLORS[index % len(COLORS)]
        places = [at(x, y) for x, y in series if math.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>')
        if len(places) <= 12:
            marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places]
        if chart.labels:
            marks += [
                text(x, place - 8, f"{y:.3g}", color=color) for (_, y), (x, place) in zip(series, places, strict=True)
            ]
        if len(chart.series) > 1:
            marks.append(text(legend, 18, name, "end", color, "bold"))
            legend -= 8 + 7.2 * len(name)
    return "".join(marks)
