"""The picture of a training run: every value of `log.jsonl` over the steps, as one page that opens in a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from speech_eval.cache import write_atomically
from speech_eval.reference_models.training.charts import Chart, figure

CURVES = "curves.html"
_POINTS = 400  # per curve; a longer log is thinned
_MAX_CODEBOOKS = 8
_REFRESH_SECONDS = 30
_TITLES = {
    "norm": "gradient norm",
    "mfu": "MFU, share of the device's peak",
    "usage": "usage, share of the codes",
    "perplexity": "perplexity, codes",
    "entropy": "entropy, bits",
}


def write_curves(output: Path, name: str, rows: Sequence[Mapping[str, Any]], steps: int, *, finished: bool) -> Path:
    """Write the page into `output` and return its path. While the run is not `finished` the page reloads itself."""
    last = rows[-1] if rows else {"step": 0, "seconds": 0.0}
    reload = "" if finished else f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">'
    state = "finished or stopped" if finished else "running"
    words = f"step {last['step']} of {steps}, {last['seconds'] / 60:.1f} min, {state}"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{reload}<title>{escape(name)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>body{font-family:sans-serif;margin:1.5rem auto;max-width:1400px;padding:0 1rem}svg{width:100%}"
        "main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:0 1rem}"
        "h1{font-size:1.3rem;margin:0}p{color:#555}</style></head>"
        f"<body><h1>{escape(name)}</h1><p>{escape(words)}</p>"
        f"<main>{''.join(figure([chart]) for chart in charts_of(rows))}</main></body></html>\n"
    )
    write_atomically(output / CURVES, page.encode())
    return output / CURVES


def charts_of(rows: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """One chart per number and per number of a group; a list is one chart with a curve per codebook."""
    thin = [row for index, row in enumerate(rows) if index % (len(rows) // _POINTS + 1) == 0 or row is rows[-1]]
    columns: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in thin:
        groups = {k: v for k, v in row.items() if isinstance(v, Mapping)}
        plain = {k: v for k, v in row.items() if k not in groups and k not in ("step", "seconds")}
        for title, value in [item for group in groups.values() for item in group.items()] + list(plain.items()):
            values = value[:_MAX_CODEBOOKS] if isinstance(value, list) else [value]
            for index, number in enumerate(values):
                series = str(index) if isinstance(value, list) else title
                columns.setdefault(title, {}).setdefault(series, []).append((row["step"], number))
    per_codebook = {title for row in thin for title, value in row.items() if isinstance(value, list)}
    return [
        Chart(_TITLES.get(title, title.replace("_", " ")) + (", by codebook" if title in per_codebook else ""), series)
        for title, series in columns.items()
    ]
