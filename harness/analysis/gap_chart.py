"""The modality gap as a picture: one line per task or subset, a mark with its interval per way of asking. Plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from speech_eval.analysis.modality_gap import Gap
from speech_eval.analysis.report import difference_unit, quantity
from speech_eval.records import Estimate

_LEFT, _WIDTH, _RIGHT, _TOP = 230.0, 420.0, 230.0, 64.0
_COLORS = {"speech": "#0072b2", "text": "#d55e00", "transcript": "#009e73"}  # told apart by color-blind readers too
_SHAPES = {"speech": "circle", "text": "square", "transcript": "diamond"}
_SMALL = 'font-size="11"'
_Lines = dict[tuple[str, str], list[Gap]]


def svg(found: Sequence[Gap], title: str) -> str:
    """The picture; every task has a scale of its own unit: 0 to 100 for percentages, 1 to 5 for ratings.

    It takes the color of the text around it, and has no style sheet, which pages may forbid.
    """
    lines: _Lines = {}
    for gap in found:
        lines.setdefault(gap.place, []).append(gap)
    spacing = 30.0 + 8.0 * max(map(len, lines.values()))
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + spacing * len(lines) + 12
    drawn = [f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>', *_legend(found)]
    for number, (line, gaps) in enumerate(lines.items()):
        drawn += _line(line, gaps, _TOP + spacing * number)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="13" fill="currentColor">'
        f"{''.join(drawn)}</svg>\n"
    )


def _legend(found: Sequence[Gap]) -> list[str]:
    ways = ["speech", *dict.fromkeys(gap.ask for gap in found)]
    made = []
    for place, way in enumerate(ways):
        x = _LEFT + 120 * place
        made += [_mark(way, x, 40.0), f'<text x="{x + 10:.0f}" y="44">{way}</text>']
    return made


def _line(line: tuple[str, str], found: Sequence[Gap], top: float) -> list[str]:
    low, high = (0.0, 100.0) if found[0].unit == "%" else (1.0, 5.0)
    shown: list[tuple[str, Estimate]] = [("speech", found[0].speech), *((gap.ask, gap.other) for gap in found)]
    task, subset = line
    end = _LEFT + _WIDTH
    made = [
        f'<text x="{24 if subset else 8}" y="{top + 22:.0f}">{escape(subset or task)}</text>',
        f'<line stroke="currentColor" opacity=".2" x1="{_LEFT}" x2="{end}" y1="{top + 18:.0f}" y2="{top + 18:.0f}"/>',
        f'<text {_SMALL} x="{_LEFT}" y="{top + 40:.0f}">{low:g}</text>',
        f'<text {_SMALL} x="{end}" y="{top + 40:.0f}" text-anchor="end">{high:g}{escape(found[0].unit)}</text>',
    ]

    def place(value: float) -> float:
        return _LEFT + _WIDTH * (min(max(value, low), high) - low) / (high - low)

    for row, (way, estimate) in enumerate(shown):
        y = top + 10 + 8 * row
        if estimate.low is not None and estimate.high is not None:
            ends = f'x1="{place(estimate.low):.1f}" x2="{place(estimate.high):.1f}" y1="{y}" y2="{y}"'
            made.append(f'<line {ends} stroke="{_COLORS[way]}" stroke-width="2"/>')
        if estimate.value is not None:
            made.append(_mark(way, place(estimate.value), y))
    for row, gap in enumerate(found):
        said = f"{gap.ask}: {quantity(gap.gap, difference_unit(gap.unit))}"
        made.append(f'<text {_SMALL} x="{end + 14}" y="{top + 14 + 16 * row:.0f}">{escape(said)}</text>')
    return made


def _mark(way: str, x: float, y: float) -> str:
    color = _COLORS[way]
    if _SHAPES[way] == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if _SHAPES[way] == "diamond" else ""
    return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{color}"{turned}/>'
