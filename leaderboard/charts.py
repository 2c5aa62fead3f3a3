"""The data of the pictures, from boards alone; `static/pictures.js` draws it.

A picture is a plain object: `id`, `kind`, `title`, `caption`, and what its kind needs. One that has nothing to show is
left out. A point is a model with (value, low, high) triples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from speech_eval.leaderboard.boards import Board, Column, Row
from speech_eval.leaderboard.policy import covered, policies
from speech_eval.records import Estimate, ModelInfo

Picture = dict[str, Any]
Clips = Mapping[tuple[str, str], list[dict[str, str]]]  # (run, task) → sounds of the samples that every run shows

TOKEN_BILL = "token-bill"
_BILLS = ("token-bill[", "text-tokens[")
_LEGS = ("ttfb-p50", "leading-silence-p50", "ttfa-p50")


def pictures(boards: Sequence[Board], clips: Clips) -> list[Picture]:
    """All pictures these boards can fill, in reading order."""
    alone = [board for board in boards if not board.sweep]
    makers: tuple[Callable[[], Iterable[Picture]], ...] = (
        lambda: (quality_against_bitrate(b) for b in alone),
        lambda: sweeps(boards, clips),
        lambda: token_bill(alone),
        lambda: (waterfall(b) for b in alone),
        lambda: policies(boards),
        lambda: (turn_taking(b) for b in alone if b.rows[0].result.dataset_sha256 not in covered(boards)),
        lambda: reconstruction_against_modelability(boards),
        lambda: history(alone),
        lambda: scatter(boards),
    )
    return [picture for maker in makers for picture in maker() if picture]


def quality_against_bitrate(board: Board) -> Picture:
    """Codecs by measured bitrate and each quality number, with the Pareto front of each."""
    rate = _column(board, "bitrate")
    qualities = [c for c in board.headline if c.axis != "bitrate" and not c.metric.startswith("bitrate[")]
    if rate is None or not qualities or board.task == TOKEN_BILL:
        return {}
    points = [_point(board, row, rate, *qualities) for row in board.rows]
    points = [point for point in points if point["values"][0][0] is not None]
    if len(points) < 2:
        return {}
    fronts = [pareto(points, "lower", 0, quality.direction, i + 1) for i, quality in enumerate(qualities)]
    return {
        "id": f"bitrate-{board.anchor}",
        "kind": "pareto",
        "title": f"Quality against bitrate: {_name(board)}",
        "caption": "Measured bitrate, not the nominal one. The line joins the codecs that no other beats in both.",
        "axes": [_axis(rate), *(_axis(quality) for quality in qualities)],
        "log": True,
        "points": points,
        "fronts": fronts,
    }


def turn_taking(board: Board) -> Picture:
    """False cut-offs against latency, one point an agent or a setting of one."""
    cut, late = _column(board, "false-cut-offs"), _column(board, "latency")
    if cut is None or late is None:
        return {}
    points = [_point(board, row, late, cut) for row in board.rows]
    points = [point for point in points if None not in (point["values"][0][0], point["values"][1][0])]
    if len(points) < 2:
        return {}
    return {
        "id": f"turns-{board.anchor}",
        "kind": "pareto",
        "title": f"Cut off or kept waiting: {_name(board)}",
        "caption": "Eager agents are quick and cut people off in their pauses; patient ones are late. "
        "The line joins the agents that no other beats in both.",
        "axes": [_axis(late), _axis(cut)],
        "log": False,
        "points": points,
        "fronts": [pareto(points, "lower", 0, "lower", 1)],
    }


def sweeps(boards: Sequence[Board], clips: Clips) -> Iterable[Picture]:
    """Numbers of models along a sweep, a codec's against the bitrate that each depth costs, and how the same samples
    sound at each point."""
    for board in boards:
        if not board.sweep:
            continue
        columns, axis = board.headline, board.sweep
        curves: dict[str, dict[str, Any]] = {}
        for row in sorted(board.rows, key=lambda row: row.point or 0):
            values = [_triple(board, row, column) for column in columns]
            sounds = list(clips.get((row.run.id, row.result.task), ()))
            curve = curves.setdefault(row.run.id, {"model": _model(row), "points": []})
            curve["points"].append({"x": row.point, "values": values, "sounds": sounds})
        rate = next((index for index, column in enumerate(columns) if column.summary == "bitrate"), None)
        cost = "" if rate is None else f"Each number against the bitrate that each {axis} costs. "
        yield {
            "id": f"sweep-{board.anchor}",
            "kind": "sweep",
            "title": f"{axis.capitalize()} sweep: {_name(board)}",
            "caption": f"{cost}Choose a {axis} to hear the same recording there; switching keeps the position.",
            "axis": axis,
            "rate": rate,
            "axes": [_axis(column) for column in columns],
            "curves": [curves[run] for run in sorted(curves, key=lambda run: curves[run]["model"])],
        }


def token_bill(boards: Sequence[Board]) -> Iterable[Picture]:
    """What a second of speech costs a language model: the boards of `token-bill`, else every one that counts tokens."""
    for board in [b for b in boards if b.task == TOKEN_BILL] or boards:
        bills = [c for c in board.headline if c.metric.startswith(_BILLS)]
        bills = bills or [c for c in board.columns if "token" in c.unit or "token-rate" in c.summary]
        rows = [row for row in board.rows if bills and _triple(board, row, bills[0])[0] is not None]
        if rows:
            yield {
                "id": f"tokens-{board.anchor}",
                "kind": "bars",
                "title": f"The token bill: {_name(board)}",
                "caption": "What a second of speech takes of a language model's context; less leaves more of it free.",
                "axes": [_axis(bill) for bill in bills],
                "points": [_point(board, row, *bills) for row in rows],
            }


def waterfall(board: Board) -> Picture:
    """From the request to the first sound a listener hears: first byte, then leading silence."""
    legs = [_column(board, name) for name in _LEGS]
    if any(leg is None for leg in legs):
        return {}
    known = [leg for leg in legs if leg is not None]
    points = [_point(board, row, *known) for row in board.rows if _triple(board, row, known[0])[0] is not None]
    return points and {  # type: ignore[return-value]
        "id": f"latency-{board.anchor}",
        "kind": "waterfall",
        "title": f"From request to first sound: {_name(board)}",
        "caption": "Medians over samples: the time to the first byte, the silence the answer begins with, and when "
        "the first sound is heard. The median of a sum need not be the sum of the medians.",
        "axes": [_axis(leg) for leg in known],
        "points": points,
    }


def reconstruction_against_modelability(boards: Sequence[Board]) -> Iterable[Picture]:
    """Whether the codecs that reconstruct best, by whichever number, are those a language model learns best."""
    left = next((b for b in boards if b.task == "codec-reconstruction"), None)
    right = next((b for b in boards if b.task == "codec-modelability"), None)
    if left is None or right is None:
        return
    learnt = _best_first(right, right.headline[0])
    numbers = {}
    for column in left.headline:
        order = [model for model in _best_first(left, column) if model in learnt]
        if len(order) > 1:
            numbers[column] = [m for m in learnt if m in order], order
    if not numbers:
        return
    yield {
        "id": "reconstruction-modelability",
        "kind": "ranks",
        "title": "Reconstruction against modelability",
        "caption": "Ranks among the codecs on both boards, by one number of reconstruction at a time: a codec far from "
        "the diagonal is easier to learn than it sounds, or harder.",
        "names": [left.task, right.task],
        "axes": [_axis(column) for column in numbers],
        "points": [
            [{"model": m, "ranks": [order.index(m) + 1, among.index(m) + 1]} for m in order]
            for among, order in numbers.values()
        ],
    }


def _best_first(board: Board, column: Column) -> list[str]:
    """The models of a board by one of its numbers; people, and who was not measured so, are left out."""
    sign = 1 if column.direction == "lower" else -1
    known = [(_triple(board, row, column)[0], _model(row)) for row in board.rows if not row.human]
    placed = sorted((sign * value, model) for value, model in known if value is not None)
    return list(dict.fromkeys(model for _, model in placed))


def history(boards: Sequence[Board]) -> Iterable[Picture]:
    """Models that were run more than once on a board; the script draws them from the board's own data."""
    found = []
    for board in boards:
        counts: dict[str, int] = {}
        for row in board.rows:
            if row.run.at:
                counts[_model(row)] = counts.get(_model(row), 0) + 1
        models = sorted(model for model, count in counts.items() if count > 1)
        if models:
            found.append({"anchor": board.anchor, "name": _name(board), "models": models})
    if found:
        yield {
            "id": "history",
            "kind": "history",
            "title": "One model over its runs",
            "caption": "Each run with its interval, by the time it ended; ✓ passed the gate, ✗ regressed, ? could "
            "not be judged.",
            "boards": found,
        }


def scatter(boards: Sequence[Board]) -> Iterable[Picture]:
    """Any number of a board against any other, drawn from the board's own data."""
    fit = [b for b in boards if len(b.rows) > 1 and len(b.columns) > 1]
    if fit:
        yield {
            "id": "scatter",
            "kind": "scatter",
            "title": "Metric against metric",
            "caption": "Do two numbers say the same of the models? Every run of a board, two of its numbers.",
            "boards": [{"anchor": board.anchor, "name": _name(board)} for board in fit],
        }


# ---------------------------------------------------------------------------------------------- design space

ENTERS = ("text", "waveform", "tokens", "continuous features", "transcript of a recognizer")
COMES_OUT = ("text", "waveform by rule or vocoder", "tokens", "continuous frames", "text read by a voice")
_BY_INTERFACE = {  # where a model does not state it
    "SpeechRecognizer": ("continuous features", "text"),
    "SpeechSynthesizer": ("text", "waveform by rule or vocoder"),
    "AudioCodec": ("waveform", "tokens"),
    "AudioLanguageModel": ("continuous features", "text"),
    "DuplexAgent": ("waveform", "waveform by rule or vocoder"),
}


def design_space(boards: Sequence[Board]) -> dict[tuple[str, str], list[tuple[str, str, bool]]]:
    """(how audio or text enters, what comes out) → (model, page, stated), from the model's own record where it states
    `audio_in` and `audio_out`, else from its interface on the board."""
    cells: dict[tuple[str, str], dict[str, tuple[str, str, bool]]] = {}
    for board in boards:
        for row in board.rows:
            if not row.human:
                key, stated = _design(row.run.manifest.model, row.result.interface)
                cells.setdefault(key, {}).setdefault(_model(row), (_model(row), row.run.id, stated))
    return {key: sorted(models.values()) for key, models in cells.items()}


def _design(model: ModelInfo, interface: str) -> tuple[tuple[str, str], bool]:
    enters, leaves = model.metadata.get("audio_in"), model.metadata.get("audio_out")
    if enters in ENTERS and leaves in COMES_OUT:
        return (enters, leaves), True
    if model.spec.startswith("cascade"):
        speaks = model.spec.count("+") > 1
        return ("transcript of a recognizer", "text read by a voice" if speaks else "text"), False
    return _BY_INTERFACE.get(interface, ("waveform", "text")), False


# ---------------------------------------------------------------------------------------------- parts


def pareto(points: Sequence[Picture], x_direction: str, x: int, y_direction: str, y: int) -> list[int]:
    """Indices of the points that no other beats in both numbers, by rising x."""
    signs = (1 if x_direction == "lower" else -1), (1 if y_direction == "lower" else -1)
    costs = [
        (signs[0] * p["values"][x][0], signs[1] * p["values"][y][0], i)
        for i, p in enumerate(points)
        if p["values"][x][0] is not None and p["values"][y][0] is not None
    ]
    front, best = [], float("inf")
    for _, cost, index in sorted(costs):
        if cost < best:
            best = cost
            front.append(index)
    return sorted(front, key=lambda index: points[index]["values"][x][0])


def _column(board: Board, name: str) -> Column | None:
    return next((column for column in board.columns if column.summary == name), None)


def _axis(column: Column) -> dict[str, str]:
    return {name: getattr(column, name) for name in ("name", "unit", "direction", "title", "axis")}


def _triple(board: Board, row: Row, column: Column) -> list[float | None]:
    metric = row.metrics[board.columns.index(column)]
    strict = metric.strict if metric is not None else Estimate(value=None, n=0)
    return [strict.value, strict.low, strict.high]


def _point(board: Board, row: Row, *columns: Column) -> Picture:
    values = [_triple(board, row, column) for column in columns]
    return {"model": _model(row), "run": row.run.id, "values": values}


def _model(row: Row) -> str:
    return row.run.results.model


def _name(board: Board) -> str:
    return f"{board.task} ({board.distinction})" if board.distinction else board.task
