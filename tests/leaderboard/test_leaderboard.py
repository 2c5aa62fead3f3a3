"""The static site: what stands on it, that it opens from a disk, and that nothing a run says can break out of it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import soundfile
from support.run_fixture import ASR, LATENCY, TTS, tone, write_run

from speech_eval.analysis.text_diff import Piece, difference, errors
from speech_eval.engine.run_directory import RunDirectory, write_json
from speech_eval.errors import BadInput
from speech_eval.leaderboard.boards import boards
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.export import BoardData, RunData, SiteData
from speech_eval.leaderboard.load import find, slug
from speech_eval.leaderboard.media import write_opus
from speech_eval.records import Estimate, Manifest, MetricResult, Output, Results, Sample, Score, TaskRecord


class Page(HTMLParser):
    """A parsed page: its elements with attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.text = re.sub(r"\s+", " ", " ".join(self.words))
        self.ids = {attributes["id"] for _, attributes in self.elements if attributes.get("id")}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_run(root, "worse", error_rate=0.5, failed=2, missing=1, samples=12)
    write_run(root, "better", error_rate=0.05, failed=0, samples=12)
    write_run(root, "part", tasks=[ASR], limit=6, failed=0, samples=6)
    return root


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build([runs], tmp_path_factory.mktemp("site"), max_samples=5).index.parent


def page_of(site: Path, model: str) -> Path:
    (page,) = site.glob(f"runs/{slug(model)}-*.html")
    return page


def data_of(site: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((site / "data" / "leaderboard.json").read_text("utf-8"))
    return data


def board_of(site: Path, task: str) -> dict[str, Any]:
    (file,) = (board["file"] for board in data_of(site)["boards"] if board["task"] == task)
    data: dict[str, Any] = json.loads((site / file).read_text("utf-8"))
    return data


# ---------------------------------------------------------------------------------------------- the boards


def test_every_model_task_and_number_is_on_the_index(site: Path) -> None:
    page = Page(site / "index.html")
    for word in ("better", "worse", "part", ASR, TTS, LATENCY, "CC-BY-4.0", "wer[open-asr@2025-10]"):
        assert word in page.text
    for task in (ASR, TTS, LATENCY):
        for row in board_of(site, task)["rows"]:
            assert row["cells"][0]["strict"]["value"] is not None


def test_boards_are_sorted_best_first_with_subsets_last_and_unranked(site: Path) -> None:
    asr = board_of(site, ASR)
    assert [row["model"] for row in asr["rows"]] == ["better", "worse", "part"]
    assert asr["rows"][2]["rank"] is None and [mark["text"] for mark in asr["rows"][2]["marks"]] == [
        "subset, 6 samples"
    ]
    assert "subset, 6 samples" in Page(site / "index.html").text


def test_failures_count_what_was_empty_failed_or_missing(site: Path) -> None:
    asr = board_of(site, ASR)
    assert [(row["failures"], row["expected"]) for row in asr["rows"]] == [(0, 12), (3, 12), (0, 6)]


def test_compat_is_shown_only_where_it_differs(site: Path, runs: Path, tmp_path: Path) -> None:
    assert "compat" in (site / "index.html").read_text("utf-8").split("</details>", 1)[1]
    alone = build([next(runs.glob("better-*"))], tmp_path / "site", audio=False).index
    assert 'class="compat"' not in alone.read_text("utf-8")


def _ranked(tmp_path: Path, direction: str, intervals: list[tuple[float, float, float]]) -> list[tuple[str, Any, bool]]:
    for index, (low, value, high) in enumerate(intervals):
        run = RunDirectory(write_run(tmp_path, f"m{index}", tasks=[ASR], samples=3, audio=False))
        estimate = Estimate(value=value, low=low, high=high, n=3)
        metric = MetricResult(
            metric="m[x]", name="m", unit="", direction=direction, primary=True, strict=estimate, compat=estimate
        )  # type: ignore[arg-type]
        task = run.results().tasks[0].model_copy(update={"metrics": [metric]})
        run.write_results(Results(model=f"m{index}", seed=0, tasks=[task]))
    (board,) = boards(find([tmp_path])[0])
    return [(row.run.results.model, row.rank, row.tied) for row in board.rows]


def test_models_whose_interval_overlaps_the_leader_share_rank_one(tmp_path: Path) -> None:
    intervals = [(10.0, 12.0, 14.0), (1.0, 2.0, 3.0), (2.5, 4.0, 6.0), (5.0, 7.0, 9.0)]
    assert _ranked(tmp_path, "lower", intervals) == [
        ("m1", 1, True),
        ("m2", 1, True),
        ("m3", 2, False),
        ("m0", 4, False),
    ]


def test_ranks_follow_the_direction_of_the_metric(tmp_path: Path) -> None:
    assert _ranked(tmp_path, "higher", [(0.1, 0.2, 0.3), (0.7, 0.8, 0.9)]) == [("m1", 1, False), ("m0", 2, False)]


def test_runs_on_other_data_never_share_a_board(tmp_path: Path) -> None:
    write_run(tmp_path, "a", tasks=[ASR], samples=3)
    other = RunDirectory(write_run(tmp_path, "b", tasks=[ASR], samples=3))
    results = other.results()
    task = results.tasks[0].model_copy(update={"dataset_sha256": "f" * 64})
    other.write_results(results.model_copy(update={"tasks": [task]}))
    made = boards(find([tmp_path])[0])
    assert [[row.run.results.model for row in board.rows] for board in made] in ([["a"], ["b"]], [["b"], ["a"]])
    assert all("readings" in board.distinction for board in made)


# ---------------------------------------------------------------------------------------------- a run's page


def test_a_run_page_states_identity_counts_and_errors(site: Path) -> None:
    text = Page(page_of(site, "worse")).text
    for part in ("3f2a9c", "72,593,920", "MIT", "torch 2.13.0", "12 expected", "2 failed", "1 missing"):
        assert part in text
    assert "RuntimeError: the decoder ran past 448 tokens" in text
    assert "no output is stored" in text


def test_samples_stand_worst_first_and_are_limited(site: Path, runs: Path) -> None:
    page = page_of(site, "worse").read_text("utf-8")
    section = page.split('id="task-1"')[1].split("</section>")[0]
    shown = re.findall(r'class="sample-head"><code class="id">([^<]+)<', section)
    scores = RunDirectory(next(runs.glob("worse-*"))).scores(ASR)
    rates = [scores[name, "wer[open-asr@2025-10]"].parts for name in shown]
    values = [parts["errors"] / parts["words"] for parts in rates]
    assert len(shown) == 5 and values == sorted(values, reverse=True)
    assert "5 of 9" in Page(page_of(site, "worse")).text


def test_the_difference_marks_each_kind_of_error_as_element_not_only_color(site: Path) -> None:
    page = Page(page_of(site, "worse"))
    assert page.of("del") and page.of("ins")
    css = (site / "static" / "site.css").read_text("utf-8")
    assert "line-through" in css and 'ins::before { content: "+"; }' in css


@pytest.mark.parametrize(
    ("reference", "hypothesis", "pieces", "count"),
    [
        ("a b c", "a b c", [Piece("equal", "a b c", "a b c")], 0),
        ("a b c", "a x c", [Piece("equal", "a", "a"), Piece("substitute", "b", "x"), Piece("equal", "c", "c")], 1),
        ("a b", "a", [Piece("equal", "a", "a"), Piece("delete", "b")], 1),
        ("a", "a b", [Piece("equal", "a", "a"), Piece("insert", "", "b")], 1),
        ("", "a b", [Piece("insert", "", "a b")], 2),
        ("a b", "", [Piece("delete", "a b")], 2),
        ("", "", [], 0),
        ("你好", "你坏", [Piece("equal", "你", "你"), Piece("substitute", "好", "坏")], 1),
    ],
)
def test_the_difference_is_the_least_edit(reference: str, hypothesis: str, pieces: list[Piece], count: int) -> None:
    assert difference(reference, hypothesis) == pieces
    assert errors(difference(reference, hypothesis)) == count


# ---------------------------------------------------------------------------------------------- audio


def test_players_give_a_compressed_copy_inside_the_site(site: Path, runs: Path) -> None:
    players = Page(page_of(site, "better")).of("audio")
    assert len(players) == 10  # five samples of each of the two speech tasks
    for player in players:
        file = (site / "runs" / str(player["src"])).resolve()
        assert file.is_relative_to(site.resolve()) and player["aria-label"]
        info = soundfile.info(file)
        assert (info.format, info.subtype) == ("OGG", "OPUS") and 0.3 < info.duration < 0.8


@pytest.mark.slow
def test_long_audio_is_compressed_whole(tmp_path: Path) -> None:
    write_opus(tmp_path / "long.ogg", tone(0, seconds=75.0, rate=22050))
    assert soundfile.info(tmp_path / "long.ogg").duration == pytest.approx(75.0, abs=0.1)


def test_missing_changed_and_broken_audio_is_stated(tmp_path: Path) -> None:
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=4, failed=0)
    missing, changed, broken = sorted(path.glob("audio/*/*.flac"))[:3]
    missing.unlink()
    changed.write_bytes(changed.read_bytes() + b"x")
    broken.write_bytes(b"not audio")
    _edit_output(path, broken.name, {"sha256": hashlib.sha256(b"not audio").hexdigest()})
    page = Page(page_of(build([path], tmp_path / "site").index.parent, "m"))
    assert "Not playable: the audio file is missing" in page.text
    assert "its sha256 differs" in page.text
    assert "cannot be decoded" in page.text
    assert len(page.of("audio")) == 1


def _edit_output(path: Path, name: str, audio: dict[str, str]) -> None:
    run = RunDirectory(path)
    changed = [
        output.model_copy(update={"audio": output.audio.model_copy(update=audio)})
        if output.audio and output.audio.path.endswith(name)
        else output
        for output in run.outputs(TTS).values()
    ]
    run.replace("outputs", TTS, changed)


def test_players_can_be_left_out(runs: Path, tmp_path: Path) -> None:
    site = build([runs], tmp_path / "site", audio=False).index.parent
    assert not (site / "audio").exists()
    assert not any(Page(page).of("audio") for page in site.glob("runs/*.html"))


# ---------------------------------------------------------------------------------------------- hostile runs

PAYLOADS = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "' autofocus onfocus='document.title=1' x='",
    "javascript:document.title='pwned'",
    "</title></textarea></dd><svg onload=document.title='pwned'>",
    "{{ 7 * 7 }}{% raw %}",
    "--><!-- ]]> &lt;b&gt;",
    "../../../../etc/passwd",
    "..\\..\\x\x00\x1b[31m‮",
)


def _on(manifest: Manifest, dataset: str) -> TaskRecord:
    """The record of the task, as of a run on another dataset."""
    record = manifest.tasks[TTS]
    changed = record.dataset.model_copy(update={"name": dataset, "license": dataset})
    return record.model_copy(update={"dataset": changed})


def _hostile(root: Path, payload: str, index: int) -> Path:
    """A run whose every free text is `payload`."""
    path = write_run(root, f"h{index}", tasks=[TTS], samples=4, failed=1, audio=True)
    run = RunDirectory(path)
    results, manifest = run.results(), run.manifest()
    task = results.tasks[0]
    metrics = [m.model_copy(update={"scorer": payload, "unit": payload, "name": payload}) for m in task.metrics]
    evil = {"protocol": payload, "dataset": payload, "language": [payload], "interface": payload, "metrics": metrics}
    run.write_results(Results(model=payload, seed=0, tasks=[task.model_copy(update=evil)]))
    model = manifest.model.model_copy(
        update=dict.fromkeys(("spec", "name", "revision", "license", "weights_sha256"), payload)
    )
    record = _on(manifest, payload).model_copy(update={"note": payload, "recognizer": payload})
    run.write_manifest(manifest.model_copy(update={"model": model, "tasks": {TTS: record}}))
    samples, outputs, scores = run.samples(TTS), run.outputs(TTS), run.scores(TTS)
    new = {sample.id: payload + sample.id for sample in samples}
    changed: list[Sample] = [
        s.model_copy(update={"id": new[s.id], "text": payload, "language": payload, "speaker": payload})
        for s in samples
    ]
    answers: list[Output] = [
        o.model_copy(update={"id": new[o.id], "text": payload, "error": payload}) for o in outputs.values()
    ]
    detail = {"reference": payload, "hypothesis": f"x {payload} y", "reason": payload}
    scored: list[Score] = [s.model_copy(update={"id": new[s.id], "detail": detail}) for s in scores.values()]
    run.replace("samples", TTS, changed)
    run.replace("outputs", TTS, answers)
    run.replace("scores", TTS, scored)
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    for index, payload in enumerate(PAYLOADS):
        _hostile(root, payload, index)
    return build([root], tmp_path_factory.mktemp("hostile-site")).index.parent


SCRIPTS = {f"static/{name}.js" for name in ("site", "board", "player", "charts", "plotly.min")}
ELEMENTS = frozenset(
    {"html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "section", "footer"}
    | {"a", "div", "button", "h1", "h2", "h3", "p", "details", "summary", "dl", "dt", "dd", "b", "span", "em", "code"}
    | {"form", "label", "input", "output", "table", "thead", "tbody", "tr", "th", "td", "svg", "line", "circle", "rect"}
    | {"ul", "ol", "li", "del", "ins", "pre", "audio", "select", "option"}
)


def test_nothing_a_run_says_becomes_markup(hostile: Path) -> None:
    own = (*hostile.glob("runs/*.html"), *hostile.glob("errors/*.html"))
    pages = [hostile / "index.html", hostile / "charts.html", *own]
    assert len(pages) == 2 + 2 * len(PAYLOADS)
    for path in pages:
        page = Page(path)
        assert {name for name, _ in page.elements} <= ELEMENTS
        assert {str(a["src"]).removeprefix("../") for a in page.of("script")} <= SCRIPTS
        for name, attributes in page.elements:
            assert not [key for key in attributes if key.startswith("on") or key in ("style", "autofocus")], name
            for key in ("href", "src"):
                value = attributes.get(key) or "#"
                assert re.fullmatch(r"#[\w-]+|#|data:,|(\.\./)?[\w./-]+(#[\w-]+)?", value), value
    assert "'unsafe-inline'" not in (hostile / "index.html").read_text("utf-8")


def test_the_feed_stays_xml_whatever_runs_say(hostile: Path) -> None:
    text = (hostile / "feed.xml").read_text("utf-8")
    root = ElementTree.fromstring(text)
    titles = [entry.text for entry in root.iter("{http://www.w3.org/2005/Atom}title")]
    assert "<script>document.title='pwned'</script>" in titles and len(titles) == 1 + len(PAYLOADS)


def test_payloads_are_shown_as_the_text_they_are(hostile: Path) -> None:
    text = Page(hostile / "index.html").text
    assert "<script>document.title='pwned'</script>" in text and "{{ 7 * 7 }}{% raw %}" in text


def test_no_name_leads_a_file_out_of_the_site(hostile: Path) -> None:
    names = [path.relative_to(hostile).as_posix() for path in hostile.rglob("*") if path.is_file()]
    allowed = r"(index|charts)\.html|feed\.xml|static/[a-z.]+\.(css|js)|data/(leaderboard|schema)\.json"
    made = r"data/(boards|runs|samples|charts)/[a-z0-9-]+\.(json|js)|(runs|errors)/[a-z0-9-]+\.html"
    made += r"|audio/[0-9a-f]{24}\.ogg"
    assert all(re.fullmatch(f"{allowed}|{made}", name) for name in names)
    assert not (hostile.parent / "etc").exists()


@pytest.mark.parametrize("kind", ["relative", "absolute", "link"])
def test_audio_outside_the_run_is_never_copied(tmp_path: Path, kind: str) -> None:
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    inside = sorted(path.glob("audio/*/*.flac"))
    secret = tmp_path / "secret.flac"
    shutil.copy(inside[0], secret)
    if kind == "link":
        inside[1].unlink()
        inside[1].symlink_to(secret)
    else:
        named = "../../secret.flac" if kind == "relative" else str(secret)
        _edit_output(path, inside[1].name, {"path": named})
    site = build([path], tmp_path / "site").index.parent
    assert "out of the run directory" in Page(page_of(site, "m")).text
    assert len(list(site.glob("audio/*"))) == 1


# ---------------------------------------------------------------------------------------------- what is asked for


def test_the_same_runs_give_the_same_bytes(site: Path, runs: Path, tmp_path: Path) -> None:
    again = build([runs], tmp_path / "again", max_samples=5).index.parent
    names = sorted(p.relative_to(site) for p in site.rglob("*") if p.suffix in (".html", ".json", ".css", ".js"))
    assert names and all((site / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_building_again_removes_pages_and_audio_of_runs_that_are_gone(runs: Path, tmp_path: Path) -> None:
    build([runs], tmp_path / "site")
    before = len(list((tmp_path / "site" / "audio").iterdir()))
    build([next(runs.glob("better-*"))], tmp_path / "site")
    assert len(list((tmp_path / "site" / "runs").iterdir())) == 1
    assert 0 < len(list((tmp_path / "site" / "audio").iterdir())) < before


def test_a_folder_with_other_files_is_left_alone(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds files that are not a leaderboard"):
        build([runs], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_path_that_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"results\.json: no such file"):
        build([tmp_path / "nothing"], tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("file", ["results.json", "manifest.json", "scores/open-asr.jsonl"])
def test_a_named_run_that_cannot_be_read_is_refused_naming_the_file(tmp_path: Path, file: str) -> None:
    path = write_run(tmp_path, "m", tasks=[ASR], samples=3)
    (path / file).write_text('{"model": 1}\n')
    with pytest.raises(BadInput, match=re.escape(str(path / file))):
        build([path], tmp_path / "site")


@pytest.mark.parametrize("file", ["results.json", "outputs/open-asr.jsonl"])
def test_a_broken_run_among_others_is_listed_as_left_out(tmp_path: Path, file: str) -> None:
    write_run(tmp_path / "runs", "fine", tasks=[ASR], samples=3)
    broken = write_run(tmp_path / "runs", "broken", tasks=[ASR], samples=3)
    (broken / file).write_text('{"model": 1}\n')
    site = build([tmp_path / "runs"], tmp_path / "site").index.parent
    (skipped,) = data_of(site)["skipped"]
    assert skipped["path"] == broken.name and file in skipped["reason"]
    text = Page(site / "index.html").text
    assert "Left out" in text and file in text and str(tmp_path) not in text
    assert [run["id"].rsplit("-", 1)[0] for run in data_of(site)["runs"]] == ["fine"]


def test_a_run_given_twice_is_shown_once(runs: Path, tmp_path: Path) -> None:
    one = next(runs.glob("better-*"))
    data = data_of(build([one, one], tmp_path / "site", audio=False).index.parent)
    assert len(data["runs"]) == 1 and "the same numbers" in data["skipped"][0]["reason"]


def test_a_run_of_numbers_alone_says_that_no_outputs_are_stored(tmp_path: Path) -> None:
    path = write_run(tmp_path, "m", tasks=[ASR], samples=3)
    for kind in ("outputs", "samples", "scores", "transcripts"):
        shutil.rmtree(path / kind)
    assert "holds no outputs" in Page(page_of(build([path], tmp_path / "site").index.parent, "m")).text


def test_the_data_for_programs_reads_back(site: Path) -> None:
    data = data_of(site)
    assert data["schema_version"] == 3 and {"boards", "runs", "charts", "skipped", "harness_version"} <= set(data)
    SiteData.model_validate(data)
    for run in data["runs"]:
        RunData.model_validate_json((site / run["file"]).read_bytes())
        assert (site / run["page"]).is_file()
    for board in data["boards"]:
        BoardData.model_validate_json((site / board["file"]).read_bytes())
    schema = json.loads((site / "data" / "schema.json").read_text())
    assert {"SiteData", "BoardData", "RunData"} <= set(schema)


def test_the_scripts_register_what_the_json_files_say(site: Path) -> None:
    for kind in ("boards", "charts"):
        for file in (site / "data" / kind).glob("*.js"):
            name, data = json.loads("[" + file.read_text().removeprefix("speechEval.register(").rstrip(";\n)") + "]")
            assert name == f"{kind}/{file.stem}" and data == json.loads(file.with_suffix(".json").read_text())


def test_progress_names_each_run_and_ends_full(runs: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    build([runs], tmp_path / "site", audio=False, progress=lambda *call: calls.append(call))
    assert calls[-1][1:] == (3, 3) and "Page of better" in [call[0] for call in calls]


@pytest.mark.slow
def test_a_hundred_runs_build_in_seconds(tmp_path: Path) -> None:
    path = write_run(tmp_path / "runs", "m", samples=4, audio=False)
    results = RunDirectory(path).results()
    for index in range(100):
        copy = shutil.copytree(path, tmp_path / "runs" / f"m{index}")
        write_json(copy / "results.json", results.model_copy(update={"model": f"m{index}"}))
    start = time.process_time()
    build([tmp_path / "runs"], tmp_path / "site")
    assert time.process_time() - start < 30


# ---------------------------------------------------------------------------------------------- reading it


def _tokens(css: str, selector: str) -> dict[str, str]:
    block = css.split(selector + " {", 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("selector", [":root", ':root[data-theme="dark"]', '  :root:not([data-theme="light"])'])
def test_text_keeps_the_contrast_of_wcag_aa(site: Path, selector: str) -> None:
    colors = _tokens((site / "static" / "site.css").read_text("utf-8"), selector)
    pairs = [
        (ink, ground)
        for ink in ("ink", "muted", "accent", "bad", "good", "sub")
        for ground in ("paper", "raised", "tint", "human")
    ]
    curves = [(f"p{number}", "raised") for number in range(1, 7)]
    for ink, ground in [*pairs, *curves, ("bad", "bad-tint"), ("good", "good-tint"), ("raised", "accent")]:
        light, dark = sorted((_luminance(colors[ink]), _luminance(colors[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_no_page_names_another_machine(site: Path) -> None:
    # plotly's own script names addresses in its text; that it asks for none is seen in a browser
    ours = (p for p in site.rglob("*") if p.suffix in (".html", ".css", ".js") and p.name != "plotly.min.js")
    for path in ours:
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]|@import|@font-face|url\(", text), path


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    for path in (site / "index.html", site / "charts.html", *site.glob("runs/*.html")):
        page = Page(path)
        ids = {a["id"] for _, a in page.elements if a.get("id")}
        for attributes in page.of("a"):
            target, _, anchor = str(attributes["href"]).partition("#")
            assert (path.parent / target).exists()
            assert not anchor or anchor in (ids if not target else Page(path.parent / target).ids)
        labels = [a["aria-labelledby"] for _, a in page.elements if a.get("aria-labelledby")]
        assert set(labels) <= ids and len(ids) == len([1 for _, a in page.elements if a.get("id")])
