"""Numbers that follow from others: seconds of context from the token bill, VoiceBench's overall from its subsets."""

from __future__ import annotations

import csv
import io

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.context_seconds import CONTEXTS
from speech_eval.analysis.derived import with_derived
from speech_eval.analysis.exports import export
from speech_eval.analysis.voicebench_overall import SEVEN, SIX, SUBSETS, overall
from speech_eval.engine import session as runner
from speech_eval.engine.session import Settings
from speech_eval.metrics.codec.tokens import LAYOUTS
from speech_eval.records import Counts, Estimate, MetricResult, Results, TaskResult

BOARD = [  # alpacaeval_full, commoneval, wildvoice, sd-qa, mmsu, openbookqa, bbh, ifeval, advbench -> overall
    ("Whisper-v3+GPT-4o", (4.80, 4.47, 4.62, 75.77, 81.69, 92.97, 87.20, 76.51, 98.27), 87.80),
    ("GPT-4o-Audio", (4.78, 4.49, 4.58, 75.50, 80.25, 89.23, 84.10, 76.02, 98.65), 86.75),
    ("GPT-4o-mini-Audio", (4.75, 4.24, 4.40, 67.36, 72.90, 84.84, 81.50, 72.90, 98.27), 82.84),
    ("Parakeet+Qwen3-8B", (4.68, 4.46, 4.35, 47.47, 59.10, 80.00, 77.90, 78.99, 99.81), 79.23),
    ("Whisper-v3+LLaMA3.1-8B", (4.53, 4.04, 4.16, 70.43, 62.43, 72.53, 69.70, 69.53, 98.08), 77.48),
    ("Kimi-Audio", (4.46, 3.97, 4.20, 63.12, 62.17, 83.52, 69.70, 61.10, 100.0), 76.91),
    ("Ultravox-v0.5-8B", (4.59, 4.11, 4.28, 58.68, 54.16, 68.35, 67.80, 66.51, 98.65), 74.86),
    ("Baichuan-Omni-1.5", (4.50, 4.05, 4.06, 43.40, 57.25, 74.51, 62.70, 54.54, 97.31), 71.32),
    ("MiniCPM-o", (4.42, 4.15, 3.94, 50.72, 54.78, 78.02, 60.40, 49.25, 97.69), 71.23),
    ("Phi-4-mm", (3.81, 3.82, 3.56, 39.78, 42.19, 65.93, 61.80, 45.35, 100.0), 64.32),
    ("GLM-4-Voice", (3.97, 3.42, 3.18, 36.98, 39.75, 53.41, 52.80, 25.92, 88.08), 56.48),
    ("Qwen2-Audio", (3.74, 3.43, 3.01, 35.71, 35.72, 49.45, 54.70, 26.33, 96.73), 55.80),
    ("Freeze-Omni", (4.03, 3.46, 3.15, 53.45, 28.14, 30.98, 50.70, 23.40, 97.30), 55.20),
    ("Step-Audio", (4.13, 3.09, 2.93, 44.21, 28.33, 33.85, 50.60, 27.96, 69.62), 50.84),
    ("LLaMA-Omni", (3.70, 3.46, 2.92, 39.69, 25.93, 27.47, 49.20, 14.87, 11.35), 41.12),
    ("Mini-Omni2", (2.32, 2.18, 1.79, 9.31, 24.27, 26.59, 46.40, 11.56, 57.50), 33.49),
    ("Mini-Omni", (1.95, 2.02, 1.61, 13.92, 24.69, 26.59, 46.30, 13.58, 37.12), 30.42),
    ("Moshi", (2.01, 1.60, 1.30, 15.64, 24.04, 25.93, 47.40, 10.12, 44.23), 29.51),
]


def numbers(values: tuple[float | None, ...]) -> dict[str, float | None]:
    return dict(zip(SUBSETS, values, strict=True))


def subset(name: str, value: float | None) -> TaskResult:
    estimate = Estimate(value=value, low=0, high=100, n=10)
    about = {"unit": "%", "direction": "higher", "strict": estimate, "compat": estimate}
    names = [("judge[voicebench]", "score"), ("judge[voicebench]", "unparsed")]
    if name == "sd-qa":
        names = [("qa[voicebench]", "gpt"), ("pedant[voicebench]", "panda")]
    metrics = [MetricResult(metric=m, name=n, primary=n in ("score", "gpt"), **about) for m, n in names]  # type: ignore[arg-type]
    return TaskResult(
        task=f"voicebench-{name}",
        version=1,
        protocol="voicebench@5338154",
        interface="AudioLanguageModel",
        dataset=name,
        dataset_sha256=name,
        language=["en"],
        leaderboard_grade=True,
        counts=Counts(expected=10, ok=9, empty=0, failed=1, missing=0),
        metrics=metrics,
    )


def runs(values: tuple[float | None, ...], model: str = "m") -> list[Results]:
    """One run per subset, as people make them."""
    made = [subset(name, value) for name, value in numbers(values).items()]
    return [Results(model=model, seed=0, tasks=[task]) for task in made]


@pytest.mark.parametrize(("values", "published"), [row[1:] for row in BOARD], ids=[row[0] for row in BOARD])
def test_the_published_overall_is_reproduced(values: tuple[float, ...], published: float) -> None:
    (task,) = with_derived(runs(values))[-1].tasks
    (metric,) = task.metrics
    assert task.task == "voicebench" and metric.primary and task.counts.expected == 90
    assert metric.strict.value == metric.compat.value == pytest.approx(published, abs=0.01)
    assert (metric.strict.low, metric.strict.high, metric.strict.n) == (None, None, 9)


@pytest.mark.parametrize(("names", "published"), [(SEVEN, 87.23), (SIX, 88.15)], ids=["7", "6"])
def test_older_boards_had_fewer_subsets(names: tuple[str, ...], published: float) -> None:
    known = {name: value for name, value in numbers(BOARD[0][1]).items() if name in names}
    assert overall(known, names) == pytest.approx(published, abs=0.01)
    assert overall(known) is None


def test_without_all_subsets_of_one_model_there_is_no_overall() -> None:
    results = runs(BOARD[0][1])
    assert with_derived(results[1:]) == results[1:]
    assert (
        with_derived([results[0].model_copy(update={"model": "other"}), *results[1:]])[-1].tasks[0].task != "voicebench"
    )
    undefined = runs((*BOARD[0][1][:-1], None))
    assert with_derived(undefined) == undefined


def test_sd_qa_is_the_mean_of_the_judges_half_and_pedants() -> None:
    results = runs(BOARD[0][1])
    (task,) = next(result for result in results if result.tasks[0].task == "voicebench-sd-qa").tasks
    judged, pedant = task.metrics
    other = pedant.model_copy(update={"strict": Estimate(value=0.0, n=10)})

    def with_sd_qa(metrics: list[MetricResult]) -> list[Results]:
        made = task.model_copy(update={"metrics": metrics})
        return with_derived([r if r.tasks != [task] else r.model_copy(update={"tasks": [made]}) for r in results])

    (number,) = with_sd_qa([judged, other])[-1].tasks[0].metrics
    assert judged.strict.value is not None and number.compat.value is not None and number.strict.value is not None
    assert number.compat.value - number.strict.value == pytest.approx(judged.strict.value / 2 / 9, abs=1e-5)
    assert with_sd_qa([judged])[-1].tasks[0].task != "voicebench"


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("bill") / "run"
    settings = Settings(limit=3, workers=1, metrics=("token-bill[layouts@1]",))
    results: Results = runner.run(modelspec.parse("opus,bitrate=12000"), ["token-bill"], folder, settings)
    return results


def test_the_seconds_of_a_context_times_the_positions_per_second_are_the_context(bill: Results) -> None:
    (result,) = with_derived([bill])
    found = {metric.name: metric.strict for metric in result.tasks[0].metrics}
    for context in CONTEXTS:
        for layout in LAYOUTS:
            rate, seconds = found[layout], found[f"context-{context}-{layout}"]
            ends = ((rate.value, seconds.value), (rate.high, seconds.low), (rate.low, seconds.high))
            for per_second, length in ends:
                assert per_second is not None and length is not None
                assert per_second * length == pytest.approx(context)


def test_reports_show_the_derived_numbers_that_the_stored_results_do_not_have(bill: Results) -> None:
    written = csv.DictReader(io.StringIO(export([], [bill], "csv")))
    assert {row["name"] for row in written if row["primary"] == "False"} >= {
        "context-131072-delay",
        "context-8192-stacked",
    }
    assert "context-8192-flattened" in export([], [bill], "text")
    assert "context-2048" not in export([], [bill], "text") and "context" not in export([], [bill], "json")
