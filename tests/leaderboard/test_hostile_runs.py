"""One run that cannot be shown is left out in one line; the others are built, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.run_fixture import ASR, LATENCY, write_run

from speech_eval.errors import BadInput
from speech_eval.leaderboard.build import Site, build


def edited(path: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change the JSON of a file."""
    data = json.loads((path / name).read_text())
    change(data)
    (path / name).write_text(json.dumps(data))


def metric(data: Any) -> Any:
    return data["tasks"][0]["metrics"][0]


def results(change: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda path: edited(path, "results.json", change)


def manifest(change: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda path: edited(path, "manifest.json", change)


def replaced(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(data)


def piped(name: str) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        (path / name).unlink()
        os.mkfifo(path / name)

    return plant


def linked(name: str, target: str) -> Callable[[Path], None]:
    def plant(path: Path) -> None:
        (path / name).unlink()
        (path / name).symlink_to(target)

    return plant


FORMULA = {"estimator": "ratio", "parts": ["errors"], "scale": 1.0}
BAD: dict[str, Callable[[Path], object]] = {
    "NaN": results(lambda data: metric(data)["strict"].update(value=float("nan"))),
    "infinity": results(lambda data: metric(data)["strict"].update(high=float("inf"))),
    "a number beyond floats": results(lambda data: data.update(seed=10**400)),
    "a formula without parts": results(lambda data: metric(data).update(formula={**FORMULA, "parts": []})),
    "a ratio of one part": results(lambda data: metric(data).update(formula=FORMULA)),
    "tasks that are a list": manifest(lambda data: data.update(tasks=[])),
    "a task that is a number": manifest(lambda data: data["tasks"].update(x=3)),
    "results that are a list": replaced("results.json", b"[]"),
    "deep JSON": replaced("results.json", b'{"model": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "half a surrogate pair": results(lambda data: data.update(model="\ud800")),
    "bytes": replaced("manifest.json", bytes(range(256))),
    "a long line": replaced(f"outputs/{ASR}.jsonl", b'{"id": "' + b"x" * 50_000_000 + b'"}\n'),
    "a pipe": piped("results.json"),
    "a pipe for a manifest": piped("manifest.json"),
    "a pipe for outputs": piped(f"outputs/{ASR}.jsonl"),
    "a link": linked("results.json", "/etc/passwd"),
    "a link to a device": linked(f"samples/{ASR}.jsonl", "/dev/zero"),
}
ODD: dict[str, Callable[[Path], object]] = {  # shown, whatever it says
    "long names": results(lambda data: data.update(model="m" * 10_000)),
    "a long metric": results(
        lambda data: metric(data).update(metric="x" * 10_000, name="y" * 10_000, unit="z" * 10_000)
    ),
    "a long task": results(lambda data: data["tasks"][0].update(task="t" * 10_000)),
    "no numbers": results(lambda data: data["tasks"][0].update(metrics=[])),
    "no tasks": results(lambda data: data.update(tasks=[])),
    "huge numbers": results(lambda data: metric(data)["strict"].update(value=1e308, low=-1e308, high=1.7e308)),
    "tiny numbers": results(lambda data: metric(data)["strict"].update(value=5e-324, low=0.0, high=1e-323)),
    "an interval upside down": results(lambda data: metric(data)["strict"].update(low=9.0, high=1.0)),
    "counts of nothing": results(lambda data: data["tasks"][0]["counts"].update(expected=0, ok=0)),
    "negative counts": results(lambda data: data["tasks"][0]["counts"].update(expected=-5, ok=-7)),
    "a sweep of minus one": results(lambda data: data["tasks"][0].update(sweep={"task": "", "axis": "", "value": -1})),
    "a verdict of depth": replaced("gate.json", b"[" * 5000),
    "a verdict with half a pair": replaced("gate.json", b'{"outcome": "pass", "baseline": "\\ud800"}'),
    "a pipe for a verdict": lambda path: os.mkfifo(path / "gate.json"),
    "odd times": manifest(lambda data: data.update(events=[{"event": "started", "at": "\u202e" * 50}])),
}


def built(tmp_path: Path, plant: Callable[[Path], object]) -> tuple[Site, str]:
    """The site of a sound run and one in which something is planted, and the name of that one."""
    write_run(tmp_path / "runs", "fine", tasks=[ASR, LATENCY], samples=6, audio=False)
    path = write_run(tmp_path / "runs", "odd", tasks=[ASR, LATENCY], samples=6, audio=False)
    plant(path)
    return build([tmp_path / "runs"], tmp_path / "site"), path.name


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", BAD.values(), ids=BAD)
def test_a_bad_run_is_one_line_and_the_rest_is_built(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    site, name = built(tmp_path, plant)
    assert site.runs == 1 and [item.path for item in site.skipped] == [name]
    (skipped,) = site.skipped
    assert ".json" in skipped.reason and "\n" not in skipped.reason and len(skipped.reason) <= 500
    assert str(tmp_path) not in site.index.read_text()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", ODD.values(), ids=ODD)
def test_an_odd_run_never_stops_the_site(tmp_path: Path, plant: Callable[[Path], object]) -> None:
    site, name = built(tmp_path, plant)
    assert site.runs + len(site.skipped) == 2 and {item.path for item in site.skipped} <= {name}


def test_a_bad_run_that_is_named_does_not_stop_the_others(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, model, tasks=[ASR], samples=3, audio=False) for model in ("fine", "bad")]
    (paths[1] / "results.json").write_text("{")
    site = build(paths, tmp_path / "site")
    assert site.runs == 1 and [item.path for item in site.skipped] == [paths[1].name]


@pytest.mark.parametrize("given", [".", "./", "../run"])
def test_the_current_folder_may_be_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    shutil.move(write_run(tmp_path / "made", "m", tasks=[LATENCY], samples=3), tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    site = build([Path(given)], tmp_path / "site")
    (page,) = (tmp_path / "site" / "runs").glob("*.html")
    assert site.runs == 1 and "<audio" in page.read_text() and "leads out of the run" not in page.read_text()


def test_links_among_runs_are_not_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "private", "secret", tasks=[ASR], samples=3, audio=False)
    write_run(tmp_path / "runs", "fine", tasks=[ASR], samples=3, audio=False)
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "private")
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs")
    site = build([tmp_path / "runs"], tmp_path / "site")
    assert site.runs == 1 and "secret" not in site.index.read_text()


def test_a_folder_whose_name_is_not_text_is_named_all_the_same(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "fine", tasks=[ASR], samples=3, audio=False)
    odd = os.fsencode(tmp_path / "runs") + b"/\xff\xfe"
    os.mkdir(odd)  # noqa: PTH102
    Path(os.fsdecode(odd), "results.json").write_text("{")
    (skipped,) = build([tmp_path / "runs"], tmp_path / "site").skipped
    assert skipped.path == "\ufffd\ufffd"
    skipped.reason.encode()


def test_nothing_readable_is_said_in_one_line(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"r{number}").mkdir()
        (tmp_path / f"r{number}" / "results.json").write_text("{")
    with pytest.raises(BadInput, match="No readable run was given") as caught:
        build([tmp_path], tmp_path / "site")
    assert "And 4 more." in str(caught.value) and not (tmp_path / "site").exists()
