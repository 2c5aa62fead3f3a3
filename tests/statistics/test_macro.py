"""Runs over several subsets report each subset, their macro average and the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from speech_eval.adapters import spec as modelspec
from speech_eval.engine.session import Settings, run
from speech_eval.metrics.base import Summary, Unit
from speech_eval.records import Results, Sample
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.macro import over_subsets

WER = Summary("wer", "ratio", ("errors", "words"), "%", "lower", 100.0)


def unit(number: int, name: str | None, errors: float, words: float) -> Unit:
    sample = Sample(id=str(number), metadata={} if name is None else {"set": name})
    return Unit(sample, {"errors": errors, "words": words}, {"errors": errors, "words": words})


def numbers(units: list[Unit]) -> dict[str, float | None]:
    return {
        summary.name: estimate(summary, [u.strict for u in part], seed="s").value
        for summary, part in over_subsets([WER], units)
    }


def test_every_set_counts_the_same_in_the_macro_average_however_large_it_is() -> None:
    units = [unit(0, "a", 1, 10), *(unit(i, "b", 0, 90) for i in range(1, 11))]
    assert numbers(units) == {"wer macro": 5.0, "wer a": 10.0, "wer b": 0.0}


@pytest.mark.parametrize("names", [["a", "a"], ["a", None], [None, None]])
def test_one_set_or_none_has_no_numbers_over_subsets(names: list[str | None]) -> None:
    assert numbers([unit(i, name, 1, 2) for i, name in enumerate(names)]) == {}


def test_only_numbers_of_boards_are_taken_apart() -> None:
    hidden = Summary("substitutions", "ratio", ("errors", "words"), "%", "lower", 100.0, headline=False)
    median = Summary("p50", "quantile", ("errors",), "s", "lower")
    assert not list(over_subsets([hidden, median], [unit(0, "a", 1, 2), unit(1, "b", 1, 2)]))


def test_the_macro_average_has_an_interval_over_samples() -> None:
    rng = np.random.default_rng(0)
    units = [unit(i, "ab"[i % 2], float(rng.integers(0, 4)), 10) for i in range(40)]
    (summary, part), *_ = over_subsets([WER], units)
    found = estimate(summary, [u.strict for u in part], seed="s")
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low < found.value < found.high


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("sets")
    for name, texts in {"first": ["one two three four"] * 3, "second": ["five six"]}.items():
        (root / name).mkdir()
        for index, text in enumerate(texts):
            soundfile.write(root / name / f"{index}.wav", 0.1 * np.sin(np.arange(16_000) * 0.1 * (index + 1)), 16_000)
            with (root / name / "metadata.jsonl").open("a") as manifest:
                manifest.write(json.dumps({"file_name": f"{index}.wav", "text": text}) + "\n")
    data = f"{root / 'first'},{root / 'second'}"
    return run(modelspec.parse("noisy"), ["asr"], root / "run", Settings(data=data, workers=1))


def test_a_run_over_several_folders_reports_each_the_mean_and_the_whole(results: Results) -> None:
    (task,) = results.tasks
    values = {m.name: m.strict.value for m in task.metrics if m.metric == "wer[whisper-normalizer@20250625]"}
    assert {"wer", "wer macro", "wer first", "wer second", "substitutions", "deletions", "insertions"} <= values.keys()
    first, second, macro = (values[f"wer {name}"] for name in ("first", "second", "macro"))
    assert first is not None and second is not None
    assert macro == pytest.approx((first + second) / 2, abs=1e-5)
    assert values["wer"] == pytest.approx((12 * first + 2 * second) / 14, abs=1e-4)
    assert [m.name for m in task.metrics if m.primary] == ["wer"]
