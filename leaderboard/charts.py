"""The data of the charts, made from boards alone; `static/charts.js` draws it.

A chart is a plain object: `id`, `kind`, `title`, `caption`, and the fields of its kind. A chart without data is left
out. A point is a model with (value, low, high) triples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from speech_eval.leaderboard.boards import Board, Column, Row, is_policy_point, policy_rule
from speech_eval.records import Estimate, ModelInfo, TaskResult
from speech_eval.signal.conditions import unit_of
from speech_eval.signal.timeout_rule import PolicyPoint, pareto_front

Chart = dict[str, Any]
Clips = Mapping[tuple[str, str], list[dict[str, str]]]  # (run, task) → sounds of the samples that every run shows

TOKEN_BILL = "token-bill"
_BILLS = ("token-bill[", "text-tokens[")
_POLICY, _AGENTS = "turn-taking-policy", "turn-taking"
_POLICY_NUMBERS = ("latency", "false-cut-offs", "missed")
_LEGS = ("ttfb-p50", "leading-silence-p50", "ttfa-p50")


def charts(boards: Sequence[Board], clips: Clips) -> list[Chart]:
    """All charts that these boards have the numbers for, in reading order."""
    alone = [board for board in boards if not board.sweep]
    makers: tuple[Callable[[], Iterable[Chart]], ...] = (
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
    return [chart for maker in makers for chart in maker() if chart]


def quality_against_bitrate(board: Board) -> Chart:
    """Codecs by measured bitrate and each quality number, with the Pareto front of each number."""
    rate = _column(board, "bitrate")
    qualities = [c for c in board.headline if c.axis != "bitrate" and not c.metric.startswith("bitrate[")]
    if rate is None or not qualities or board.task == TOKEN_BILL:
        return {}
    points = [_point(board, row, rate, *qualities) for row in board.rows]
    points = [point for point in points if point["values"][0][0] is not None]
    if len(points) < 2:
        return {}
    fronts = [pareto(points, quality.direction, i + 1) for i, quality in enumerate(qualities)]
    return {
        "id": f"bitrate-{board.anchor}",
        "kind": "pareto",
        "title": f"Quality against bitrate: {_name(board)}",
        "caption": "Measured bitrate, not nominal. The line is the Pareto front: no other codec is better in both.",
        "axes": [_axis(rate), *(_axis(quality) for quality in qualities)],
        "log": True,
        "points": points,
        "fronts": fronts,
    }


def turn_taking(board: Board) -> Chart:
    """False cut-offs against latency, one point per agent or setting."""
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
        "title": f"False cut-offs against latency: {_name(board)}",
        "caption": "An eager agent is quick and cuts people off in their pauses; a patient one is late. "
        "The line is the Pareto front: no other agent is better in both.",
        "axes": [_axis(late), _axis(cut)],
        "log": False,
        "points": points,
        "fronts": [pareto(points, "lower", 1)],
    }


def policies(boards: Sequence[Board]) -> Iterable[Chart]:
    """One chart per board of `turn-taking-policy`: a curve per run with its Pareto front, and the agents that were
    measured in conversation on the same data."""
    for board in boards:
        if board.task != _POLICY:
            continue
        curves = [curve for row in board.rows if (curve := _curve(row))["points"]]
        if not curves:
            continue
        data = {row.result.dataset_sha256 for row in board.rows}
        yield {
            "id": f"policy-{board.anchor}",
            "kind": "policy",
            "title": "False cut-offs against latency: every threshold and delay",
            "caption": "Each small point is a rule: respond after the delay without speech, a probability at or above "
            "the threshold. The line joins the rules on the Pareto front. A rule's latency ends at its "
            "decision, an agent's (rings) at its first sound, one chunk and the onset of speech later.",
            "axes": [
                {"name": "latency", "unit": "s", "direction": "lower", "title": _POLICY, "axis": ""},
                {"name": "false cut-offs", "unit": "%", "direction": "lower", "title": _POLICY, "axis": ""},
            ],
            "curves": curves,
            "agents": [agent for other in boards for row in other.rows if (agent := _agent(row, data))],
        }


def covered(boards: Sequence[Board]) -> set[str]:
    """The data whose agents are in a chart of policies."""
    return {row.result.dataset_sha256 for board in boards if board.task == _POLICY for row in board.rows}


def _curve(row: Row) -> dict[str, Any]:
    rules: dict[tuple[float, float], dict[str, list[float | None]]] = {}
    for metric in row.result.metrics:
        if is_policy_point(metric) and (found := policy_rule(metric)):
            rules.setdefault((float(found[2]), float(found[3])), {})[found[1]] = _ends(metric.strict)
    points: list[dict[str, Any]] = [
        {"threshold": threshold, "delay": delay, "values": [numbers[name] for name in _POLICY_NUMBERS]}
        for (threshold, delay), numbers in sorted(rules.items())
        if set(numbers) == set(_POLICY_NUMBERS) and numbers["latency"][0] is not None
    ]
    front = {(rule.threshold, rule.timeout) for rule in pareto_front(map(_rule, points))}
    for point in points:
        point["front"] = (point["threshold"], point["delay"]) in front
    return {"model": row.run.results.name, "run": row.run.id, "points": points}


def _rule(point: dict[str, Any]) -> PolicyPoint:
    latency, cut, missed = (value for value, _, _ in point["values"])
    return PolicyPoint(point["threshold"], point["delay"], cut, None, missed, latency)


def _agent(row: Row, data: set[str]) -> dict[str, Any] | None:
    if row.result.task != _AGENTS or row.result.dataset_sha256 not in data:
        return None
    values = [_named(row.result, name) for name in _POLICY_NUMBERS[:2]]
    if any(value is None or value[0] is None for value in values):
        return None
    return {"model": row.run.results.name, "run": row.run.id, "values": values}


def _named(result: TaskResult, name: str) -> list[float | None] | None:
    return next((_ends(metric.strict) for metric in result.metrics if metric.name == name), None)


def sweeps(boards: Sequence[Board], clips: Clips) -> Iterable[Chart]:
    """The numbers of each model along a sweep (for a codec also against the bitrate of each depth), with the same
    samples to hear at each point."""
    for board in boards:
        if not board.sweep:
            continue
        columns, axis = board.headline, board.sweep
        curves: dict[str, dict[str, Any]] = {}
        under = bool(board.rows[0].result.under)  # then the recordings that can be played are not what was heard
        for row in sorted(board.rows, key=lambda row: row.point or 0):
            values = [_triple(board, row, column) for column in columns]
            sounds = [] if under else list(clips.get((row.run.id, row.result.task), ()))
            empty = {"model": _model(row), "clean": _clean(row, columns), "points": []}
            curve = curves.setdefault(row.run.id, empty)
            curve["points"].append({"x": row.point, "values": values, "sounds": sounds})
        rate = next((index for index, column in enumerate(columns) if column.summary == "bitrate"), None)
        cost = "" if rate is None else f"Each number against the bitrate of each {axis}. "
        played = f"Choose a {axis} to hear the same recording there; switching keeps the position."
        yield {
            "id": f"sweep-{board.anchor}",
            "kind": "sweep",
            "title": f"{axis.capitalize()} sweep: {_name(board)}",
            "caption": "Dotted: the same recordings as they are." if under else f"{cost}{played}",
            "axis": axis,
            "unit": unit_of(axis) if under else "",
            "log": not under,
            "rate": rate,
            "axes": [_axis(column) for column in columns],
            "curves": [curves[run] for run in sorted(curves, key=lambda run: curves[run]["model"])],
        }


def _clean(row: Row, columns: Sequence[Column]) -> list[list[float | None]] | None:
    """The numbers of the same run on the recordings as they are, where the row is under a condition."""
    point = row.result.sweep
    results = row.run.results.tasks if row.result.under and point is not None else []
    found = next((result for result in results if point and result.task == point.task), None)
    if found is None:
        return None
    known = {(metric.metric, metric.name): _ends(metric.strict) for metric in found.metrics}
    return [known.get((column.metric, column.summary), [None, None, None]) for column in columns]


def token_bill(boards: Sequence[Board]) -> Iterable[Chart]:
    """Tokens per second of speech: from the boards of `token-bill`, else from every board that counts tokens."""
    for board in [b for b in boards if b.task == TOKEN_BILL] or boards:
        bills = [c for c in board.headline if c.metric.startswith(_BILLS)]
        bills = bills or [c for c in board.columns if "token" in c.unit or "token-rate" in c.summary]
        rows = [row for row in board.rows if bills and _triple(board, row, bills[0])[0] is not None]
        if rows:
            yield {
                "id": f"tokens-{board.anchor}",
                "kind": "bars",
                "title": f"Token rate: {_name(board)}",
                "caption": "Tokens per second of speech in a language model's context; fewer leave more room.",
                "axes": [_axis(bill) for bill in bills],
                "points": [_point(board, row, *bills) for row in rows],
            }


def waterfall(board: Board) -> Chart:
    """Time from the request to the first audible sound: first byte, then leading silence."""
    legs = [_column(board, name) for name in _LEGS]
    if any(leg is None for leg in legs):
        return {}
    known = [leg for leg in legs if leg is not None]
    points = [_point(board, row, *known) for row in board.rows if _triple(board, row, known[0])[0] is not None]
    return points and {  # type: ignore[return-value]
        "id": f"latency-{board.anchor}",
        "kind": "waterfall",
        "title": f"From request to first sound: {_name(board)}",
        "caption": "Medians over samples: time to the first byte, leading silence of the answer, and time to the first "
        "audible sound. The median of a sum can differ from the sum of the medians.",
        "axes": [_axis(leg) for leg in known],
        "points": points,
    }


def reconstruction_against_modelability(boards: Sequence[Board]) -> Iterable[Chart]:
    """Rank by reconstruction against rank by modelability, for each number of reconstruction."""
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
        "caption": "Ranks among the codecs on both boards, by one number of reconstruction at a time. Far from the "
        "diagonal, a codec is easier or harder for a language model than its sound suggests.",
        "names": [left.task, right.task],
        "axes": [_axis(column) for column in numbers],
        "points": [
            [{"model": m, "ranks": [order.index(m) + 1, among.index(m) + 1]} for m in order]
            for among, order in numbers.values()
        ],
    }


def _best_first(board: Board, column: Column) -> list[str]:
    """The models of a board ordered by one number, without human recordings and models that lack the number."""
    sign = 1 if column.direction == "lower" else -1
    known = [(_triple(board, row, column)[0], _model(row)) for row in board.rows if not row.human]
    placed = sorted((sign * value, model) for value, model in known if value is not None)
    return list(dict.fromkeys(model for _, model in placed))


def history(boards: Sequence[Board]) -> Iterable[Chart]:
    """Models with several runs on a board; the script draws them from the board's data."""
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
            "caption": "Each run with its interval, by the time it ended. ✓ passed the gate, ✗ regressed, ? could "
            "not be judged.",
            "boards": found,
        }


def scatter(boards: Sequence[Board]) -> Iterable[Chart]:
    """Any number of a board against any other, drawn from the board's data."""
    fit = [b for b in boards if len(b.rows) > 1 and len(b.columns) > 1]
    if fit:
        yield {
            "id": "scatter",
            "kind": "scatter",
            "title": "Metric against metric",
            "caption": "Two numbers of every run of a board: do they agree on which model is better?",
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
    """(input representation, output representation) → (model, page, stated): from the model's metadata `audio_in` and
    `audio_out` where it states them, else from its interface."""
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


def pareto(points: Sequence[Chart], direction: str, y: int) -> list[int]:
    """Indices of the Pareto front by rising x: points that none beats both in number 0, where lower is better,
    and in number `y`, where `direction` is better."""
    sign = 1 if direction == "lower" else -1
    costs = [
        (p["values"][0][0], sign * p["values"][y][0], i)
        for i, p in enumerate(points)
        if p["values"][0][0] is not None and p["values"][y][0] is not None
    ]
    front, best = [], float("inf")
    for _, cost, index in sorted(costs):
        if cost < best:
            best = cost
            front.append(index)
    return sorted(front, key=lambda index: points[index]["values"][0][0])


def _column(board: Board, name: str) -> Column | None:
    return next((column for column in board.columns if column.summary == name), None)


def _axis(column: Column) -> dict[str, str]:
    return {name: getattr(column, name) for name in ("name", "unit", "direction", "title", "axis")}


def _triple(board: Board, row: Row, column: Column) -> list[float | None]:
    metric = row.metrics[board.columns.index(column)]
    return _ends(metric.strict if metric is not None else Estimate(value=None, n=0))


def _ends(estimate: Estimate) -> list[float | None]:
    return [estimate.value, estimate.low, estimate.high]


def _point(board: Board, row: Row, *columns: Column) -> Chart:
    values = [_triple(board, row, column) for column in columns]
    return {"model": _model(row), "run": row.run.id, "values": values}


def _model(row: Row) -> str:
    return row.run.results.name


def _name(board: Board) -> str:
    return f"{board.task} ({board.distinction})" if board.distinction else board.task
