"""Numbers by a column: those of a run restricted to the slice, planted differences found, and none where there is
none."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import sliced_runs
from support.sliced_runs import WER, heard, rows
from typer.testing import CliRunner

from speech_eval import compare, report, slices
from speech_eval.analysis.columns import columns, cut
from speech_eval.analysis.slices import SliceNumber, SliceReport
from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.records import Sample
from speech_eval.statistics.contrast import contrasts
from speech_eval.statistics.multiple import holm
from speech_eval.statistics.summaries import Rows, Summary

RATIO = Summary("wer", "ratio", ("errors", "words"), "%", "lower", 100.0)
HOSTILE = "<script>alert(1)</script> | $x$ \\input{x} \x1b[2J"


def planted(row: dict[str, Any]) -> str:
    return heard(row, 0.3 if row["metadata"]["accent"] == "north" else 0.05)


def own_columns(speaker: int, index: int) -> dict[str, Any]:
    more = {"region": ("hill", "coast")[index % 2]} if index < 7 else {}
    return {HOSTILE: "=1+1" if index % 2 else "<b>", "part": index % 2, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sliced")


@pytest.fixture(scope="module")
def run(folder: Path) -> RunDirectory:
    return sliced_runs.run(folder, rows(metadata=own_columns), planted)


@pytest.fixture(scope="module")
def other(folder: Path) -> RunDirectory:
    return sliced_runs.run(folder, rows(metadata=own_columns), lambda row: heard(row, 0.05, 1), name="other")


def wer(found: SliceReport, name: str) -> SliceNumber:
    (one,) = (n for n in found.numbers if n.slice == name and (n.result.metric, n.result.name) == (WER, "wer"))
    return one


# ----------------------------------------------------------------------------------------------- columns


def samples(*values: Any) -> list[Sample]:
    return [Sample(id=f"s{i:03d}", metadata={} if v is None else {"x": v}) for i, v in enumerate(values)]


def names(*values: Any, bounds: tuple[float, ...] = ()) -> dict[str, int]:
    found = cut(samples(*values), "x", bounds)
    assert found is not None
    return {name: len(ids) for name, ids in found.ids.items()}


def test_numbers_are_cut_at_their_quartiles_and_few_stand_for_themselves() -> None:
    assert names(*range(1, 101)) == {"< 26": 25, "26 to < 51": 25, "51 to < 76": 25, "≥ 76": 25}
    assert names(20, 0, 5, 5) == {"0": 1, "5": 2, "20": 1}
    assert names(*[0] * 20, 1, 2, 3, 4) == {"< 1": 20, "≥ 1": 4}


def test_bounds_cut_numbers_and_texts_that_say_one() -> None:
    assert names(1, 5, 9, 10, 30, bounds=(10, 5)) == {"< 5": 1, "5 to < 10": 2, "≥ 10": 2}
    assert names("1", "5", "30", bounds=(5,)) == {"< 5": 1, "≥ 5": 2}
    with pytest.raises(BadInput, match="not a number in sample s001"):
        names(1, "north", bounds=(5,))


def test_texts_truth_values_and_lists_stand_for_themselves() -> None:
    assert names("1089", "1089", "121", "237", "1188", "260") == {"1089": 2, "1188": 1, "121": 1, "237": 1, "260": 1}
    assert names(True, False, ["a", "b"], {"k": 1}) == {'["a", "b"]': 1, "false": 1, "true": 1, '{"k": 1}': 1}
    assert names(2**80, 10**400, 1) == {"1": 1, str(10**400): 1, str(2**80): 1}


def test_samples_without_a_value_are_in_no_slice() -> None:
    found = cut(samples("a", None, "", "  ", [], float("nan"), "b"), "x")
    assert found is not None and len(found.unstated) == 5 and list(found.ids) == ["a", "b"]
    assert cut(samples(None, ""), "x") is None and columns(samples(None)) == ["language"]


def test_length_is_words_or_the_characters_of_writing_without_spaces() -> None:
    texts = [Sample(id="a", text="one two three"), Sample(id="b", text="你好 吗", language="zh")]
    found = cut(texts, "length")
    assert found is not None and {name: set(ids) for name, ids in found.ids.items()} == {"3": {"a", "b"}}


def test_too_many_values_are_no_slices() -> None:
    with pytest.raises(BadInput, match="201 different values"):
        cut(samples(*(f"v{i}" for i in range(201))), "x")


# ----------------------------------------------------------------------------------------------- numbers


def test_the_numbers_of_a_slice_are_those_of_a_run_restricted_to_it(folder: Path, run: RunDirectory) -> None:
    kept = [row for row in rows(metadata=own_columns) if row["metadata"]["accent"] == "north"]
    alone = sliced_runs.run(folder, kept, planted, name="north").results().tasks[0].metrics
    found = slices(run.path, "accent", everything=True).numbers
    own = {(n.result.metric, n.result.name): n.result for n in found if n.slice == "north"}
    assert len(alone) == len(own) > 8
    for metric in alone:
        assert own[metric.metric, metric.name].model_copy(update={"formula": metric.formula}) == metric


def test_numbers_by_speaker_treat_the_speaker_as_the_condition(folder: Path, run: RunDirectory) -> None:
    kept = [row for row in rows(metadata=own_columns) if row["speaker"] == "p4"]
    alone = sliced_runs.run(folder, kept, planted, name="p4").results().tasks[0].metrics[0]
    found = wer(slices(run.path, "speaker", least=5), "p4")
    assert found.result.strict == alone.strict and found.units == 8 and found.p_value is not None


def test_a_planted_difference_is_found_and_the_worst_slice_named(run: RunDirectory) -> None:
    found = slices(run.path, "accent")
    north, south = wer(found, "north"), wer(found, "south")
    assert north.worst and north.significant and north.adjusted is not None and north.adjusted < 0.01
    assert not south.worst and not south.significant and south.adjusted == north.adjusted
    assert north.difference is not None and south.difference is not None
    assert north.difference.value == pytest.approx(-(south.difference.value or 0))
    assert north.difference.low is not None and north.difference.low > 10


def test_a_column_that_changes_nothing_has_a_worst_slice_that_is_not_significant(run: RunDirectory) -> None:
    for column in ("part", "snr", "length"):
        found = slices(run.path, column).numbers
        assert any(n.worst for n in found) and not any(n.significant for n in found)


def test_a_slice_of_too_few_samples_is_shown_without_a_test(run: RunDirectory) -> None:
    found = wer(slices(run.path, "accent", least=49), "north")
    assert found.result.strict.low is not None
    assert (found.difference, found.p_value, found.adjusted, found.untested) == (None, None, None, "fewer than 49")
    assert "p0" in report(run.path, by="speaker") and "fewer than 20" in report(run.path, by="speaker")


def test_an_accent_of_one_speaker_is_not_tested(folder: Path) -> None:
    data = rows(6, 8, lambda speaker, _: {"accent": "west" if speaker == 0 else "north"})
    found = wer(
        slices(sliced_runs.run(folder, data, lambda row: heard(row, 0.1), name="one").path, "accent", least=5), "west"
    )
    assert found.p_value is None and found.untested == "one independent unit" and found.result.strict.low is not None


def test_samples_without_a_value_are_shown_apart(run: RunDirectory) -> None:
    found = wer(slices(run.path, "region", least=5), "not stated")
    assert (found.stated, found.result.strict.n, found.untested) == (False, 12, "no value")


@pytest.mark.parametrize("column", ["nope", "", HOSTILE + "?", "metadata"])
def test_a_column_that_is_not_there_names_those_that_are(run: RunDirectory, column: str) -> None:
    for ask in (lambda: slices(run.path, column), lambda: compare(run.path, run.path, by=column)):
        with pytest.raises(BadInput, match=r"No sample states a column.*speaker, .*accent, .*snr, length"):
            ask()


@pytest.mark.parametrize("kind", ["alone", "nested", "mixed", "uneven"])
def test_where_no_slice_differs_one_is_found_in_a_twentieth_of_the_data(kind: str) -> None:
    rng, trials, alarms = np.random.default_rng(5), 200, 0
    for trial in range(trials):
        groups = np.arange(120) if kind in ("alone", "uneven") else np.arange(120) // 6
        labels = {
            "alone": rng.integers(0, 4, 120),
            "uneven": np.minimum(rng.geometric(0.5, 120) - 1, 3),
            "nested": groups % 4,
            "mixed": rng.integers(0, 4, 120),
        }[kind]
        words = rng.integers(3, 20, 120).astype(float)
        errors = rng.poisson(0.05 * words * rng.gamma(1.0, 1.0, 20)[groups % 20] * rng.gamma(0.5, 2.0, 120))
        data = Rows({"errors": errors.astype(float), "words": words}, 120)
        found = contrasts(
            RATIO, data, groups, np.searchsorted(np.unique(labels), labels), seed=f"{trial}", resamples=500
        )
        alarms += holm([c.p_value for c in found if c.p_value is not None]).min() <= 0.05
    assert alarms <= 22  # the 99.9 % point of the binomial distribution at 5 %


# ----------------------------------------------------------------------------------------------- surfaces


def test_compare_by_a_column_compares_the_runs_in_each_slice(
    folder: Path, run: RunDirectory, other: RunDirectory
) -> None:
    kept = [row for row in rows(metadata=own_columns) if row["metadata"]["part"] == 1]
    one, two = (
        sliced_runs.run(folder, kept, answer, name=name)
        for name, answer in (("one-part", planted), ("two-part", lambda row: heard(row, 0.05, 1)))
    )
    (alone, *_) = compare(one.path, two.path).differences
    found = [d for d in compare(run.path, other.path, by="part").differences if (d.metric, d.name) == (WER, "wer")]
    assert [d.slice for d in found] == ["0", "1"]
    same = {"slice": "", "adjusted": alone.adjusted}
    assert found[1].model_copy(update=same) == alone and found[1].adjusted == pytest.approx(
        4 * (alone.p_value or 0), abs=0.01
    )
    few = compare(run.path, other.path, by="speaker")
    assert len(few.differences) > 12 and not any(d.adjusted or d.p_value for d in few.differences)


def test_every_format_shows_the_slices_and_hostile_names_as_text(run: RunDirectory, tmp_path: Path) -> None:
    made = {form: report(run.path, form, by=HOSTILE) for form in ("text", "markdown", "csv", "json", "latex")}
    assert "<script>" not in made["markdown"] and "<b>" not in made["markdown"] and r"\|" in made["markdown"]
    assert r"\input" not in made["latex"] and "{=}1" not in made["latex"] and r"\$x\$" in made["latex"]
    assert not any("\x1b" in made[form] for form in ("text", "markdown", "csv", "latex"))
    lines = list(csv.DictReader(io.StringIO(made["csv"])))
    assert {line["slice"] for line in lines} == {"'=1+1", "<b>"}
    assert json.loads(made["json"])["column"] == HOSTILE
    assert "<script>" not in slices(run.path, HOSTILE)._repr_html_()
    report(run.path, "csv", tmp_path / "slices.csv", by=HOSTILE)
    assert (tmp_path / "slices.csv").read_text() == made["csv"]
    with pytest.raises(BadInput, match="tensorboard"):
        report(run.path, "tensorboard", tmp_path, by="accent")


def test_the_commands_print_what_the_functions_return(run: RunDirectory, other: RunDirectory) -> None:
    printed = CliRunner().invoke(app, ["report", str(run.path), "--by", "snr", "--bins", "10,30", "--json"])
    assert SliceReport.model_validate(json.loads(printed.stdout)) == slices(run.path, "snr", bins=(10, 30))
    shown = CliRunner().invoke(app, ["report", str(run.path), "--by", "accent"])
    assert shown.exit_code == 0 and "significantly" in shown.stdout and "north" in shown.stdout
    told = CliRunner().invoke(app, ["compare", str(run.path), str(other.path), "--by", "accent"])
    assert told.exit_code == 0 and "accent = north" in told.stdout
    alone = CliRunner().invoke(app, ["report", str(run.path), "--bins", "10,30"])
    assert isinstance(alone.exception, BadInput) and "--by COLUMN" in str(alone.exception)
    with pytest.raises(BadInput, match="none is named"):
        compare(run.path, run.path, bins=[10])
    wrong = CliRunner().invoke(app, ["report", str(run.path), "--by", "snr", "--bins", "10;30"])
    assert wrong.exit_code == 2 and "10;30" in wrong.output
