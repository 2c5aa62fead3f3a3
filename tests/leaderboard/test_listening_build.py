"""A listening test built from real runs: hidden names, equal loudness, counterbalanced orders, a server that stores."""

from __future__ import annotations

import http.client
import json
import math
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from support.listening_runs import TASK, codec_runs, write_recordings
from support.raters import Rater, panel
from support.serving import serving

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.listening.description import ANCHOR, REFERENCE, Key, read_key
from speech_eval.analysis.listening.kinds import KINDS
from speech_eval.audio import load
from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput, UnknownName
from speech_eval.leaderboard.listening import headphones
from speech_eval.leaderboard.listening.build import Built, Options, build
from speech_eval.leaderboard.listening.serve import server
from speech_eval.leaderboard.media import loudness

ALL = tuple(KINDS)
MODELS = ("oracle", "noisy", "opus,bitrate=6000")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDirectory]:
    return codec_runs(tmp_path_factory.mktemp("runs"), MODELS)


@pytest.fixture(scope="module")
def built(runs: list[RunDirectory], tmp_path_factory: pytest.TempPathFactory) -> Built:
    out = tmp_path_factory.mktemp("made") / "test"
    return build([run.path for run in runs], out, Options(kinds=ALL, samples=4, reference=True, mid_anchor=True))


def test_raters_get_no_name_of_a_system_or_sample(built: Built) -> None:
    folder = built.page.parent
    for file in folder.rglob("*"):
        assert not any(name in file.name for name in ("oracle", "noisy", "opus", "s0"))
    told = (folder / "data" / "test.js").read_text() + (folder / "index.html").read_text()
    assert not any(word in told for word in ("oracle", "noisy", "opus", str(folder.parent), "anchor", '"s0"'))


def test_all_sounds_are_equally_loud_and_none_clips(built: Built) -> None:
    tones = {built.page.parent / item["file"] for item in page_data(built)["headphones"]}
    levels = []
    for file in (built.page.parent / "audio").iterdir():
        if file not in tones:
            audio = load(file)
            levels.append(loudness(audio))
            assert abs(audio.samples).max() < 0.9
    assert built.key.loudness is not None and len(levels) > 20
    assert all(level == pytest.approx(built.key.loudness, abs=0.15) for level in levels)


def page_data(built: Built) -> dict:  # type: ignore[type-arg]
    script = (built.page.parent / "data" / "test.js").read_text()
    data = json.loads(script.removeprefix('speechEval.register("test", ').rstrip().removesuffix(");"))
    assert isinstance(data, dict)
    return data


def test_a_sound_that_occurs_twice_in_a_trial_has_two_files(built: Built) -> None:
    shown = page_data(built)["trials"]
    kinds: Counter[str] = Counter()
    for name, trial in built.key.trials.items():
        files = [*shown[name]["sounds"], *filter(None, [shown[name]["beside"]])]
        assert len(set(files)) == len(files)
        kinds[trial.kind] += 1
        if trial.kind == "mushra":
            assert {sound.condition for sound in trial.sounds} >= {REFERENCE, ANCHOR, *MODELS}
    assert set(kinds) == set(ALL)


def test_the_same_seed_gives_the_same_test_and_another_seed_another(runs: list[RunDirectory], tmp_path: Path) -> None:
    options = Options(kinds=("ab",), samples=2)
    paths = [run.path for run in runs[:2]]
    one, two = (build(paths, tmp_path / name, options) for name in ("one", "two"))
    files = {file.name for file in (one.page.parent / "audio").iterdir()}
    assert one.key == two.key and files == {file.name for file in (two.page.parent / "audio").iterdir()}
    other = build(paths, tmp_path / "other", Options(kinds=("ab",), samples=2, seed=1))
    assert other.key.test != one.key.test
    assert not files & {file.name for file in (other.page.parent / "audio").iterdir()}


def test_every_trial_comes_equally_late_and_every_system_is_as_often_a_as_b(built: Built) -> None:
    places: dict[str, list[int]] = defaultdict(list)
    first: Counter[tuple[str, str, int]] = Counter()
    slots: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    sections: dict[str, set[int]] = defaultdict(set)
    for form in built.key.forms:
        for place, step in enumerate(form):
            trial = built.key.trials[step.trial]
            sections[trial.kind].add(place)
            if trial.practice:
                continue
            places[step.trial].append(place)
            if KINDS[trial.kind].style == "pair":
                first[trial.kind, step.trial, step.order[0]] += 1
            if trial.kind == "mushra":
                for slot, sound in enumerate(step.order):
                    slots[step.trial, trial.sounds[sound].condition][slot] += 1
    for name, own in places.items():
        section = sections[built.key.trials[name].kind]
        assert len(own) == len(built.key.forms)
        assert sum(own) / len(own) == pytest.approx((min(section) + 1 + max(section)) / 2)
    for (kind, name, _), count in first.items():
        assert count == len(built.key.forms) / 2, (kind, name)
    assert all(set(own.values()) == {4} for own in slots.values())  # 24 forms, six sounds


def test_x_is_a_as_often_as_b(built: Built) -> None:
    same: Counter[tuple[str, bool]] = Counter()
    for form in built.key.forms:
        for step in form:
            trial = built.key.trials[step.trial]
            if trial.kind == "abx" and not trial.practice:
                same[step.trial, step.order[2] - 2 == step.order[0]] += 1
    assert set(same.values()) == {len(built.key.forms) // 2}


def test_a_rater_may_hear_some_of_the_samples_and_all_forms_together_hear_all(
    runs: list[RunDirectory], tmp_path: Path
) -> None:
    made = build([run.path for run in runs], tmp_path / "test", Options(samples=4, per_rater=2))
    heard: Counter[str] = Counter()
    for form in made.key.forms:
        trials = [made.key.trials[step.trial] for step in form]
        own = {trial.sample for trial in trials if not trial.practice and not trial.check}
        assert len(own) == 2
        heard.update(own)
    assert set(heard.values()) == {12}


def test_a_single_run_is_compared_with_the_recordings(runs: list[RunDirectory], tmp_path: Path) -> None:
    made = build([runs[1].path], tmp_path / "test", Options(kinds=("ab",), samples=2))
    pairs = {tuple(s.condition for s in t.sounds) for t in made.key.trials.values() if not t.check}
    assert pairs == {("noisy", REFERENCE)}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (Options(kinds=("mis",)), UnknownName, "'mis'"),
        (Options(task="asr"), BadInput, "asr"),
        (Options(kinds=("mushra",), recordings="none"), BadInput, "recording is needed"),
    ],
)
def test_what_cannot_be_tested_is_said_in_one_line(
    runs: list[RunDirectory], tmp_path: Path, options: Options, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        build([run.path for run in runs], tmp_path / "test", options)


def test_a_folder_that_holds_something_is_left_alone(runs: list[RunDirectory], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match="empty"):
        build([runs[0].path], tmp_path, Options())


def test_the_headphone_check_is_that_of_woods(tmp_path: Path) -> None:
    import io

    import numpy as np
    import soundfile

    found = headphones.orders(0)
    assert len(found) == headphones.ITEMS and Counter(quiet for quiet, _ in found) == {0: 2, 1: 2, 2: 2}
    samples, rate = soundfile.read(io.BytesIO(headphones.item(1, 2)))
    tones = [samples[round(start * rate) : round((start + 1) * rate)] for start in (0, 1.5, 3.0)]
    level = [20 * math.log10(np.sqrt((tone**2).mean())) for tone in tones]
    assert level[1] - level[0] == pytest.approx(-6, abs=0.05) and level[2] == pytest.approx(level[0], abs=0.05)
    assert np.allclose(tones[2][:, 0], -tones[2][:, 1], atol=1e-4) and np.allclose(tones[0][:, 0], tones[0][:, 1])


# ------------------------------------------------------------------------------------------------ the server


@pytest.fixture
def served(runs: list[RunDirectory], tmp_path: Path) -> Iterator[tuple[int, Key, Path]]:
    made = build([run.path for run in runs[:2]], tmp_path / "test", Options(samples=2))
    with serving(server(tmp_path / "test")) as running:
        yield running.server_port, made.key, tmp_path / "test"


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_answers_are_stored_once_and_never_changed(served: tuple[int, Key, Path]) -> None:
    port, key, folder = served
    given = panel(key, {"oracle": 4, "noisy": 2}, 1)[0]
    assert json.loads(ask(port, "GET", "/form")[1]) == {"form": 0}
    assert ask(port, "POST", "/answers", given.line().encode())[0] == 201
    assert json.loads(ask(port, "GET", "/form")[1]) == {"form": 1}
    assert ask(port, "POST", "/answers", given.line().encode())[0] == 200
    other = given.model_copy(update={"complete": False})
    assert ask(port, "POST", "/answers", other.line().encode())[0] == 409
    (file,) = (folder / "answers").iterdir()
    assert file.name == f"{given.rater}.json" and json.loads(file.read_text())["complete"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"rater": "../../../evil0"},
        {"rater": "0" * 15},
        {"test": "0" * 12},
        {"form": 99},
        {"email": "ann@example.org"},
        {"answers": [{"trial": "0" * 16, "value": 3, "plays": 1, "seconds": 1}]},
        {"headphones": [9]},
    ],
    ids=str,
)
def test_what_is_no_answer_to_this_test_is_refused(served: tuple[int, Key, Path], change: dict[str, object]) -> None:
    port, key, folder = served
    body = {**panel(key, {"oracle": 4, "noisy": 2}, 1)[0].model_dump(mode="json"), **change}
    assert ask(port, "POST", "/answers", json.dumps(body).encode())[0] == 400
    assert not list((folder / "answers").iterdir())


def test_values_out_of_range_twice_answered_and_garbage_are_refused(served: tuple[int, Key, Path]) -> None:
    port, key, folder = served
    good = panel(key, {"oracle": 4, "noisy": 2}, 1)[0].model_dump(mode="json")
    for value in (0, 6, True, "5", 4.5, [1], None):
        bad = {**good, "answers": [{**good["answers"][0], "value": value}]}
        assert ask(port, "POST", "/answers", json.dumps(bad).encode())[0] == 400, value
    bad = {**good, "answers": [good["answers"][0]] * 2}
    assert ask(port, "POST", "/answers", json.dumps(bad).encode())[0] == 400
    for data in (b"{", b"[]", b"\xff\xfe", b'{"schema_version":NaN}'):
        assert ask(port, "POST", "/answers", data)[0] == 400
    assert not list((folder / "answers").iterdir())


def test_what_a_client_sends_wrong_or_breaks_off_is_no_traceback(
    served: tuple[int, Key, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    port, _, folder = served
    host = f"Host: 127.0.0.1:{port}\r\n"
    for size in ("9" * 5000, "-5", "", "²", "1048577", "0x10"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(f"POST /answers HTTP/1.0\r\n{host}Content-Length: {size}\r\n\r\n".encode("latin-1"))
            assert b" 413 " in client.recv(100)
    (folder / "page" / "long.wav").write_bytes(bytes(32 << 20))  # more than the system keeps for a slow client
    for _ in range(3):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
        client.sendall(f"GET /long.wav HTTP/1.0\r\n{host}\r\n".encode())
        client.recv(1)
        client.close()
    assert ask(port, "GET", "/form")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_only_the_page_is_served_and_only_to_this_machine(served: tuple[int, Key, Path]) -> None:
    port, key, _ = served
    assert ask(port, "GET", "/")[0] == 200
    for path in ("/../key.json", "/key.json", "/%2e%2e/key.json", "/answers/", "/..%2fkey.json"):
        assert ask(port, "GET", path)[0] == 404, path
    body = panel(key, {"oracle": 4, "noisy": 2}, 1)[0].line().encode()
    assert ask(port, "POST", "/answers", body, Host="evil.example")[0] == 403
    assert ask(port, "POST", "/answers", body, Origin="http://evil.example")[0] == 403
    assert ask(port, "POST", "/elsewhere", body)[0] == 404
    assert ask(port, "POST", "/answers", b"x", **{"Content-Length": str(1 << 30)})[0] == 413


def test_many_raters_at_once_lose_nothing(served: tuple[int, Key, Path]) -> None:
    port, key, folder = served
    given = [Rater(i, {"oracle": 4, "noisy": 2}).fill(key, i % 24) for i in range(1, 13)]
    threads = [Thread(target=ask, args=(port, "POST", "/answers", one.line().encode())) for one in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {file.stem for file in (folder / "answers").iterdir()} == {one.rater for one in given}
    assert read_key(folder) == key and key.task == TASK


def test_voices_are_compared_with_the_prompt_that_the_synthesizer_had(tmp_path: Path) -> None:
    write_recordings(tmp_path, 3)
    lines = [json.loads(line) for line in (tmp_path / "set.jsonl").read_text().splitlines()]
    for line, other in zip(lines, [*lines[1:], lines[0]], strict=True):
        line |= {"prompt_audio": other["audio"], "prompt_text": other["text"]}
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = Settings(data=str(tmp_path / "set.jsonl"), metrics=("rtf[answer@1]",))
    session.run(modelspec.parse("oracle"), ["seed-tts"], tmp_path / "run", settings)
    made = build([tmp_path / "run"], tmp_path / "test", Options(kinds=("smos",), align=False))
    sound = {line["id"]: load(tmp_path / line["prompt_audio"]).samples for line in lines}
    shown = page_data(made)["trials"]
    for name, trial in made.key.trials.items():
        beside = load(made.page.parent / shown[name]["beside"]).samples
        assert len(beside) == len(sound[trial.sample]) and abs(beside - sound[trial.sample]).max() < 1e-3
