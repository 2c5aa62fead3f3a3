"""What the site makes of runs besides tables: charts, marks, histograms, verdicts, feed, preview, bad folders."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.run_fixture import ASR, LATENCY, TTS, write_run
from typer.testing import CliRunner

from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.leaderboard.boards import boards
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.charts import charts, design_space, pareto
from speech_eval.leaderboard.export import feed
from speech_eval.leaderboard.histograms import histograms
from speech_eval.leaderboard.load import find, lines
from speech_eval.leaderboard.serve import HOST, server
from speech_eval.records import (
    Counts,
    Environment,
    Estimate,
    Event,
    Manifest,
    MetricResult,
    ModelInfo,
    Results,
    SweepPoint,
    TaskResult,
)

Number = tuple[str, str, str, float]  # metric, summary, direction, value


def a_run(
    root: Path,
    model: str,
    tasks: dict[str, list[Number]],
    *,
    interface: str = "AudioCodec",
    at: str = "",
    metadata: dict[str, Any] | None = None,
    scorer: str = "",
    sweep: dict[str, SweepPoint] | None = None,
) -> Path:
    """A run of numbers alone, each with an interval of a tenth around it."""
    made = []
    for task, numbers in tasks.items():
        metrics = []
        for index, (metric, name, direction, value) in enumerate(numbers):
            estimate = Estimate(value=value, low=value * 0.95, high=value * 1.05, n=9)
            metrics.append(
                MetricResult(
                    metric=metric,
                    name=name,
                    unit="",
                    direction=direction,  # type: ignore[arg-type]
                    primary=index == 0,
                    scorer=scorer,
                    strict=estimate,
                    compat=estimate,
                )
            )
        made.append(
            TaskResult(
                task=task,
                version=1,
                protocol="p",
                interface=interface,
                dataset="d",
                dataset_sha256="0" * 64,
                language=["en"],
                leaderboard_grade=True,
                sweep=(sweep or {}).get(task),
                counts=Counts(expected=9, ok=9, empty=0, failed=0, missing=0),
                metrics=metrics,
            )
        )
    run = RunDirectory(root / f"{model}-{at}".replace(":", "").replace("/", "_"))
    run.path.mkdir(parents=True)
    run.write_results(Results(model=model, seed=0, tasks=made))
    info = ModelInfo(spec=model, name=model, interfaces=[interface], metadata=metadata or {})
    events = [Event(event="finished", at=at)] if at else []
    run.write_manifest(
        Manifest(harness_version="0", model=info, seed=0, tasks={}, environment=Environment(python="3"), events=events)
    )
    return run.path


def drawn(root: Path) -> dict[str, dict[str, Any]]:
    """The charts of the runs in a folder, by kind."""
    return {chart["kind"]: chart for chart in charts(boards(find([root])[0]), {})}


def codec(quality: float, rate: float) -> dict[str, list[Number]]:
    return {"codec-reconstruction": [("stoi[x]", "stoi", "higher", quality), ("bitrate[m]", "bitrate", "lower", rate)]}


# ---------------------------------------------------------------------------------------------- charts


@pytest.mark.parametrize(
    ("points", "direction", "front"),
    [
        ([(1, 1), (2, 2), (3, 3)], "higher", [0, 1, 2]),
        ([(1, 1), (2, 2), (3, 3)], "lower", [0]),
        ([(2, 5), (1, 5), (3, 9)], "higher", [1, 2]),  # as good and dearer is beaten
        ([(1, 1), (1, 2)], "higher", [1]),
        ([(None, 1), (1, None), (5, 1)], "higher", [2]),
        ([], "higher", []),
    ],
)
def test_the_front_holds_what_no_other_beats(points: list[Any], direction: str, front: list[int]) -> None:
    given = [{"values": [[x, None, None], [y, None, None]]} for x, y in points]
    assert pareto(given, direction, 1) == front


def test_quality_is_drawn_against_measured_bitrate(tmp_path: Path) -> None:
    for model, quality, rate in (("good", 0.9, 6.0), ("dear", 0.8, 12.0), ("rich", 0.95, 24.0)):
        a_run(tmp_path, model, codec(quality, rate))
    chart = drawn(tmp_path)["pareto"]
    names = [chart["points"][index]["model"] for index in chart["fronts"][0]]
    assert names == ["good", "rich"] and chart["points"][0]["values"][0][0] == 24.0


def test_a_depth_sweep_joins_its_points_and_offers_their_sounds(tmp_path: Path) -> None:
    tasks = {f"codec-depth@depth={depth}": [("stoi[x]", "stoi", "higher", 0.5 + depth / 20)] for depth in (8, 1, 2)}
    points = {name: SweepPoint(task="codec-depth", axis="depth", value=int(name.split("=")[1])) for name in tasks}
    a_run(tmp_path, "mimi", tasks, sweep=points)
    made = boards(find([tmp_path])[0])
    clips = {(made[0].rows[0].run.id, "codec-depth@depth=2"): [{"sample": "s", "src": "audio/a.ogg"}]}
    (chart,) = (p for p in charts(made, clips) if p["kind"] == "sweep")
    (curve,) = chart["curves"]
    assert chart["axis"] == "depth" and [point["x"] for point in curve["points"]] == [1, 2, 8]
    assert [len(point["sounds"]) for point in curve["points"]] == [0, 1, 0]


def test_ranks_of_reconstruction_stand_against_ranks_of_modelability(tmp_path: Path) -> None:
    for model, quality, bits in (("a", 0.9, 5.0), ("b", 0.8, 2.0), ("only-here", 0.99, None)):
        tasks = codec(quality, 6.0)
        if bits is not None:
            tasks["codec-modelability"] = [("bits[x]", "bits", "lower", bits)]
        a_run(tmp_path, model, tasks)
    chart = drawn(tmp_path)["ranks"]
    by_stoi = [axis["name"] for axis in chart["axes"]].index("stoi")
    ranks = {point["model"]: point["ranks"] for point in chart["points"][by_stoi]}
    assert ranks == {"a": [1, 2], "b": [2, 1]}


def test_latency_is_drawn_from_first_byte_to_first_sound(tmp_path: Path) -> None:
    legs = {"ttfa-p50": 0.4, "ttfb-p50": 0.07, "leading-silence-p50": 0.33}
    numbers = [("ttfa[x]", name, "lower", value) for name, value in legs.items()]
    a_run(tmp_path, "voice", {LATENCY: numbers}, interface="SpeechSynthesizer")
    (point,) = drawn(tmp_path)["waterfall"]["points"]
    assert [value for value, _, _ in point["values"]] == [0.07, 0.33, 0.4]


def test_turn_taking_has_its_own_front(tmp_path: Path) -> None:
    for model, cut, late in (("eager", 50.0, 0.3), ("patient", 5.0, 1.0), ("bad", 60.0, 1.1)):
        numbers = [("turn-taking[v]", "false-cut-offs", "lower", cut), ("turn-taking[v]", "latency", "lower", late)]
        a_run(tmp_path, model, {"turn-taking": numbers}, interface="DuplexAgent")
    chart = drawn(tmp_path)["pareto"]
    assert [chart["points"][index]["model"] for index in chart["fronts"][0]] == ["eager", "patient"]


def test_a_model_that_was_run_twice_has_a_history_and_one_that_was_not_has_none(tmp_path: Path) -> None:
    for day, quality in (("01", 0.8), ("02", 0.9)):
        a_run(tmp_path, "codec", codec(quality, 6.0), at=f"2026-01-{day}T00:00:00+00:00")
    a_run(tmp_path, "once", codec(0.7, 6.0), at="2026-01-01T00:00:00+00:00")
    (board,) = drawn(tmp_path)["history"]["boards"]
    assert board["models"] == ["codec"]


def test_models_stand_where_they_state_their_design_else_where_their_interface_puts_them(tmp_path: Path) -> None:
    a_run(tmp_path, "plain", codec(0.8, 6.0))
    a_run(tmp_path, "stated", codec(0.8, 5.0), metadata={"audio_in": "tokens", "audio_out": "tokens"})
    a_run(tmp_path, "odd", codec(0.8, 4.0), metadata={"audio_in": "<b>", "audio_out": ["tokens"]})
    space = design_space(boards(find([tmp_path])[0]))
    assert [(name, stated) for name, _, stated in space["tokens", "tokens"]] == [("stated", True)]
    assert [(name, stated) for name, _, stated in space["waveform", "tokens"]] == [("odd", False), ("plain", False)]


def test_without_fitting_numbers_there_are_no_empty_charts(tmp_path: Path) -> None:
    a_run(tmp_path, "alone", {ASR: [("wer[x]", "wer", "lower", 3.0)]}, interface="SpeechRecognizer")
    assert drawn(tmp_path) == {}


# ---------------------------------------------------------------------------------------------- marks


def test_synthesis_without_a_human_row_is_marked_and_with_one_is_not(tmp_path: Path) -> None:
    numbers = {TTS: [("wer[x]", "wer", "lower", 3.0)]}
    a_run(tmp_path, "voice", numbers, interface="SpeechSynthesizer", scorer="whisper")
    (row,) = boards(find([tmp_path])[0])[0].rows
    assert [mark.text for mark in row.marks] == ["not calibrated"]
    a_run(tmp_path, "ground-truth", numbers, interface="SpeechSynthesizer", scorer="whisper")
    human, voice = boards(find([tmp_path])[0])[0].rows
    assert (human.human, human.rank, voice.rank) == (True, None, 1)
    assert [mark.text for mark in human.marks] == ["human recordings"] and not voice.marks


def test_other_conditions_make_another_board_and_more_rounds_do_not(tmp_path: Path) -> None:
    found = find([tmp_path_run(tmp_path, name, conditions) for name, conditions in _CONDITIONS.items()])[0]
    assert sorted(sorted(row.run.results.model for row in board.rows) for board in boards(found)) == [
        ["many"],
        ["one", "rounds"],
    ]


_CONDITIONS = {"one": {"concurrency": 1}, "rounds": {"concurrency": 1, "rounds": 5}, "many": {"concurrency": 8}}


def tmp_path_run(root: Path, model: str, conditions: dict[str, int]) -> Path:
    path = a_run(root, model, {LATENCY: [("rtf[x]", "rtf", "lower", 0.5)]})
    run = RunDirectory(path)
    (task,) = run.results().tasks
    run.write_results(Results(model=model, seed=0, tasks=[task.model_copy(update={"conditions": conditions})]))
    return path


def test_points_of_a_sweep_share_a_board_though_their_warm_up_differs(tmp_path: Path) -> None:
    numbers: list[Number] = [("rtf[x]", "rtf", "lower", 0.5)]
    values = {f"latency-load@concurrency={n}": n for n in (1, 2, 4)}
    points = {name: SweepPoint(task="latency-load", axis="concurrency", value=n) for name, n in values.items()}
    run = RunDirectory(a_run(tmp_path, "m", dict.fromkeys(values, numbers), sweep=points))
    tasks = [
        task.model_copy(update={"conditions": {"concurrency": n, "warm_up": 2 * n, "serialized": False}})
        for task, n in zip(run.results().tasks, values.values(), strict=True)
    ]
    run.write_results(Results(model="m", seed=0, tasks=tasks))
    (board,) = boards(find([tmp_path])[0])
    assert [(row.point, row.folded) for row in board.rows] == [(1, True), (2, True), (4, False)]


def test_verdicts_of_the_gate_are_read_and_other_json_is_left_alone(tmp_path: Path) -> None:
    path = a_run(tmp_path, "codec", codec(0.8, 6.0))
    verdict = {"outcome": "regression", "baseline": "/home/me/runs/base", "judgments": [{"reason": "too bad"}]}
    (path / "gate.json").write_text(json.dumps(verdict))
    (path / "gate-foreign.json").write_text('{"outcome": "<script>"}')
    (path / "gate-broken.json").write_text("[" * 100_000)
    (run,), _ = find([path])
    (found,) = run.verdicts
    assert (found.outcome, found.baseline, found.reasons) == ("regression", "base", ("too bad",))


def test_samples_spread_over_a_histogram_whose_bars_hold_them_all(tmp_path: Path) -> None:
    (run,), _ = find([write_run(tmp_path, "m", tasks=[ASR], samples=12, failed=0, audio=False)])
    (task,) = run.results.tasks
    first, *_ = histograms(task, lines(run, task))
    assert first.n == 12 and max(height for _, height in first.bars) == 100.0
    assert 0 <= first.middle <= 100 and float(first.low) <= float(first.median) <= float(first.high)


# ---------------------------------------------------------------------------------------------- bad folders


def test_every_bad_folder_is_left_out_with_its_reason_and_the_rest_is_built(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_run(root, "fine", tasks=[ASR], samples=3)
    shutil.copytree(next(root.glob("fine-*")), root / "twin")
    half = write_run(root, "half", tasks=[ASR], samples=3)
    (half / "results.json").unlink()
    (root / "foreign").mkdir()
    (root / "foreign" / "results.json").write_text('{"accuracy": 1}')
    newer = RunDirectory(write_run(root, "newer", tasks=[ASR], samples=3))
    newer.write_results(newer.results().model_copy(update={"schema_version": 99}))
    torn = write_run(root, "torn", tasks=[ASR], samples=3)
    (torn / "results.json").write_text("")
    made = build([root], tmp_path / "site")
    reasons = {item.path: item.reason for item in made.skipped}
    assert made.runs == 1 and set(reasons) == {"twin", "half-0", "foreign", "newer-0", "torn-0"}
    assert "half-written" in reasons["half-0"] and "schema version 99" in reasons["newer-0"]
    assert "the same numbers" in reasons["twin"] and "not a Results record" in reasons["foreign"]


def test_the_command_says_what_it_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "fine", tasks=[ASR], samples=3)
    (write_run(tmp_path / "runs", "half", tasks=[ASR], samples=3) / "results.json").unlink()
    done = CliRunner().invoke(
        app, ["leaderboard", "build", str(tmp_path / "runs"), "-o", str(tmp_path / "site"), "--json"]
    )
    said = json.loads(done.stdout)
    assert done.exit_code == 0 and said["runs"] == 1 and said["skipped"][0]["path"] == "half-0"


def test_runs_are_found_in_folders_of_folders(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "b", "deep", tasks=[ASR], samples=3)
    write_run(tmp_path, "near", tasks=[ASR], samples=3)
    assert sorted(run.results.model for run in find([tmp_path])[0]) == ["deep", "near"]


@pytest.mark.slow
def test_many_runs_are_built_by_several_processes_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(3):
        write_run(tmp_path / "runs", f"m{index}", tasks=[TTS], samples=3)
    one = build([tmp_path / "runs"], tmp_path / "one", max_samples=3).index.parent
    monkeypatch.setattr("speech_eval.leaderboard.build._FEW", 2)
    monkeypatch.setattr("speech_eval.leaderboard.build._BUNDLE", 2)
    other = build([tmp_path / "runs"], tmp_path / "other", max_samples=3).index.parent
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert names == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    # an Ogg stream carries a random serial number; its name says what it was made from
    assert all((one / n).read_bytes() == (other / n).read_bytes() for n in names if n.suffix != ".ogg")


# ---------------------------------------------------------------------------------------------- feed and preview


def test_the_feed_has_the_newest_run_first(tmp_path: Path) -> None:
    for day in ("02", "03", "01"):
        a_run(tmp_path, f"m{day}", codec(0.8, float(day)), at=f"2026-01-{day}T00:00:00+00:00")
    a_run(tmp_path, "undated", codec(0.8, 9.0))
    text = feed(find([tmp_path])[0])
    assert [text.index(f"<title>m{day}<") for day in ("03", "02", "01")] == sorted(
        text.index(f"<title>m{day}<") for day in ("03", "02", "01")
    )
    assert "<updated>2026-01-03T00:00:00+00:00</updated>" in text and "undated" not in text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    root = tmp_path_factory.mktemp("serve")
    write_run(root / "runs", "m", tasks=[TTS], samples=2)
    site = build([root / "runs"], root / "site").index.parent
    (root / "secret.txt").write_text("secret")
    (site / "audio" / "link.ogg").symlink_to(root / "secret.txt")
    made = server(site)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made.server_port, site
    made.shutdown()
    made.server_close()


def ask(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def test_the_preview_gives_the_site(served: tuple[int, Path]) -> None:
    answer = ask(served[0], "/")
    assert answer.status == 200 and b"Speech model leaderboard" in answer.read()


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=999999999-", 416, None),
        ("bytes=x", 200, slice(None)),
    ],
)
def test_the_preview_gives_parts_of_audio_so_that_it_can_be_sought(
    served: tuple[int, Path], asked: str, status: int, part: slice | None
) -> None:
    port, site = served
    file = next(file for file in (site / "audio").glob("*.ogg") if not file.is_symlink())
    answer = ask(port, f"/audio/{file.name}", Range=asked)
    body = answer.read()
    assert answer.status == status
    assert part is None or body == file.read_bytes()[part]


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/audio/link.ogg", "/..%5csecret.txt"])
def test_the_preview_gives_nothing_outside_the_site(served: tuple[int, Path], path: str) -> None:
    answer = ask(served[0], path)
    assert answer.status == 404 and b"secret" not in answer.read().replace(b"secret.txt", b"")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:1", "a:b:c"])
def test_the_preview_answers_no_page_of_another_site(served: tuple[int, Path], host: str) -> None:
    """Its script would reach this server under a name of its own that it has turned to 127.0.0.1."""
    answer = ask(served[0], "/", Host=host)
    assert answer.status == 421 and b"leaderboard" not in answer.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:9"])
def test_the_preview_answers_under_the_names_of_this_machine(served: tuple[int, Path], host: str) -> None:
    assert ask(served[0], "/", Host=host).status == 200


@pytest.mark.parametrize(
    "path", ["/%00", "/" + "a" * 5000, "/%ff%fe", "/%ed%a0%80", "/ring", "/pipe", "/pipes/", "/audio/"]
)
def test_the_preview_survives_paths_that_are_no_files(served: tuple[int, Path], path: str) -> None:
    port, site = served
    if not (site / "pipe").exists():
        (site / "ring").symlink_to("ring")
        (site / "pipes").mkdir()
        os.mkfifo(site / "pipe")
        os.mkfifo(site / "pipes" / "index.html")
    assert ask(port, path).status == 404
    assert ask(port, "/").status == 200


def test_the_preview_listens_on_this_machine_alone_and_wants_a_site(tmp_path: Path, served: tuple[int, Path]) -> None:
    made = server(served[1])
    try:
        assert made.server_address[0] == "127.0.0.1"
        with pytest.raises(BadInput, match="cannot be used"):
            server(served[1], made.server_port)
    finally:
        made.server_close()
    with pytest.raises(BadInput, match="does not contain a leaderboard"):
        server(tmp_path)
