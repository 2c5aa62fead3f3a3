"""What holds for every registered metric."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from support import tiny_speechbrain
from support.metric_items import reader

from speech_eval.adapters import speechbrain_folder
from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.engine.aggregate import unit
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.score import Job, score_sample
from speech_eval.errors import BadInput, NotFetched
from speech_eval.metrics.base import SUBSET, Metric, ScoringItem
from speech_eval.metrics.catalog import METRICS
from speech_eval.metrics.codec.counts import counts_text
from speech_eval.metrics.dialogue.aligned import ALIASES
from speech_eval.metrics.records_file import MEASURED as OF_RECORDS
from speech_eval.records import (
    Chunk,
    CodebookRecord,
    CodesRecord,
    Output,
    Sample,
    SpeechProbabilities,
    StoredAudio,
    Timing,
    TokenModelRecord,
    Transcript,
)

# Metrics of people's ratings have a part per rater and no value for an answer that nobody rated: see test_listening.
NAMES = [
    name
    for name in METRICS.names()
    if METRICS.get(name).__module__.startswith("speech_eval.") and "ratings" not in METRICS.get(name).needs
]


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    made: Metric = METRICS.get(request.param)()
    optional = {"visqol": "visqol", "codec-metrics": "pesq", "utmos": "utmos_pytorch", "utmosv2": "utmosv2"}
    optional |= {"multilingual": "num2words", "pedant": "qa_metrics", "torchmetrics": "torchmetrics"}
    optional["speechbrain"] = "speechbrain"
    if made.extra in optional:
        pytest.importorskip(optional[made.extra])
    if made.extra == "speechbrain":
        speechbrain_folder.imported()
        monkeypatch.setenv(
            "SPEECH_EVAL_SPEECHBRAIN_ECAPA", str(tiny_speechbrain.write(tiny_speechbrain.ECAPA, tmp_path))
        )
    if made.extra == "utmos" and not os.environ.get("SPEECH_EVAL_UTMOS"):
        pytest.skip("the weights of UTMOS are on the hub")
    try:
        made.ready()
    except NotFetched as error:
        pytest.skip(error.problem)
    return made


# What metrics read of a dataset's columns, or of a record given to `speech-eval metric`.
FIELDS = {
    "words": [["he", 2.1, 2.3], ["was", 2.3, 2.5], ["not", 2.5, 2.8], ["disposed", 2.8, 3.4]],
    "turn_end": 1.8,
    "judge": "Analysis: it fits.\nI would rate the AI's response as 4.",
    "segments": [[2.1, 3.4]],
    "user_segments": [[0.2, 1.8]],
    "before": 3.1,
    "after": 2.9,
    "duration": 10.0,
    "distribution": [0.1, 0.4, 0.5],
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{}],
    "scores": ["4", "5", "4"],
    "kind": "short",
    "aliases": ["disposed"],
    "choices": ["he was not an ill disposed young man", "he was not disposed"],
    "value": 4.5,
    "seconds": 2.99,
    "question": "Who is it?",
    "meta_info": "A man is described.",
    "task_name": "speech_QA",
    "task_identifier": "No Commas",
    "rule": "4",
    "rule_content": "",
    "instruction": "Speak in a low voice.",
    "category": "Questions",
}
# What the harness measures of an answer.
_BOOK = CodebookRecord(
    frames=3,
    frame_rate=12.5,
    size=4,
    histogram=[(1, 1), (2, 1)],
    counts=counts_text(np.array([0, 2]), np.array([1, 2])),
)
MEASURED: dict[str, Any] = {
    "seconds": 0.5,
    "timing": Timing(wall_seconds=0.25, encode_seconds=0.3, decode_seconds=0.2),
    "codes": CodesRecord(seconds=2.99, codebooks=[_BOOK]),
    "token_model": TokenModelRecord(bits=5.5, bits_given_text=5.0, unigram_bits=9.0, bigram_bits=7.0, ended=True),
    "speech_probabilities": SpeechProbabilities(frame_seconds=0.1, values=[0.9] * 12 + [0.1] * 30),
}
# Samples of metrics that want an answer of another kind than a transcript.
OWN = {
    "choice[voicebench]": {"text": "B"},
    "bbh[voicebench]": {"id": "navigate_1", "text": "yes"},
    "wer[open-asr-multilingual@E]": {"language": "de"},
    "instructions[mmau-pro@960e93a]": {"metadata": {**FIELDS, "kwargs": {}}},
}


def full_item(metric: Metric) -> ScoringItem:
    """An item with everything that the metric may ask for."""
    audio = reader("0880")
    fields = {"id": "s", "text": "he was not an ill disposed young man", "prompt_audio": "p.wav", "metadata": FIELDS}
    sample = Sample.model_validate({**fields, **OWN.get(metric.id, {})})
    kept = StoredAudio(path="a.flac", sha256="0" * 64, rate=audio.rate, frames=len(audio.samples), peak=0.5)
    first = Chunk(seconds=0.1, frames=kept.frames // 2, text="he was")
    chunks = [first, Chunk(seconds=0.2, frames=kept.frames - first.frames, text=" not")]
    output = Output(id="s", task="t", status="ok", seed=0, audio=kept, chunks=chunks, **MEASURED)

    def load(rate: int | None) -> Audio:
        return audio if rate is None else audio.resampled(rate)

    heard = "he was not disposed"
    return ScoringItem(sample, output, heard, heard, load_audio=load, load_prompt=load, load_reference=load)


def test_it_is_registered_under_its_id_and_says_where_it_comes_from(metric: Metric) -> None:
    assert METRICS.get(metric.id) is type(metric)
    assert metric.description and metric.source and metric.summaries


def test_its_summaries_have_names_of_their_own(metric: Metric) -> None:
    names = [summary.name for summary in metric.summaries]
    assert len(set(names)) == len(names)


def test_its_summaries_refer_to_parts_that_it_gives(metric: Metric) -> None:
    parts = metric.score(full_item(metric)).parts
    assert all(isinstance(value, float) and np.isfinite(value) for value in parts.values())
    for summary in metric.summaries:
        assert set(summary.parts) <= set(parts)
        if summary.estimator != "function":
            assert len(summary.parts) in {"mean": (1,), "ratio": (2,), "quantile": (1, 2)}[summary.estimator]


def test_a_failure_gives_the_same_parts_but_those_that_only_quantiles_take(metric: Metric) -> None:
    failure = metric.failure(full_item(metric).sample)
    taken = {kind: set[str]() for kind in (True, False)}
    for summary in metric.summaries:
        taken[summary.estimator == "quantile"] |= set(summary.parts)
    if not taken[False]:
        assert failure == {}
    else:
        assert set(failure) == set(metric.score(full_item(metric)).parts) - (taken[True] - taken[False])


def test_the_same_item_gets_the_same_score_twice(metric: Metric) -> None:
    assert metric.score(full_item(metric)) == type(metric)().score(full_item(metric))


@pytest.mark.parametrize("value", [0.001, "x", []])
def test_no_column_of_a_dataset_moves_a_number_that_it_does_not_feed(
    metric: Metric, value: object, tmp_path: Path
) -> None:
    """In a run, whatever the columns are called: as a measurement, as a field of a record, as another metric's."""
    every = {*FIELDS, *MEASURED, *OF_RECORDS, *(path.split(".")[0] for paths in ALIASES.values() for path in paths)}
    every |= set().union(*(METRICS.get(name).columns for name in NAMES))
    strange = dict.fromkeys(every - metric.columns - {SUBSET}, value)
    assert _outcome(metric, {}, tmp_path) == _outcome(metric, strange, tmp_path)


def _outcome(metric: Metric, strange: dict[str, object], folder: Path) -> object:
    """The score of the engine and the parts of a lost answer, or the error, with the columns of `strange` added."""
    item, directory = full_item(metric), RunDirectory(folder)
    own = {name: value for name, value in item.sample.metadata.items() if name in metric.columns}
    sample = item.sample.model_copy(update={"metadata": {**own, **strange}})
    audio = directory.write_audio("t", "s", item.audio())
    output = item.output.model_copy(update={"audio": audio})
    files = dict.fromkeys(("prompt", "reference"), directory.audio_path(audio))
    heard = Transcript(id="s", scorer="r", output=output.digest(), text="he was not disposed", original="he was not")
    job = Job(
        sample=sample,
        output=output,
        audio=directory.audio_path(audio),
        metrics=(metric.id,),
        recognizer=None,
        transcript=heard,
        hears_original=True,
        original=None,
        audio_files=files,
        plugins=(),
    )
    try:
        (score,) = score_sample(job).scores
    except BadInput as error:
        return str(error)
    assert score.status == "ok", score.detail
    lost = unit(metric, sample, None)
    assert lost is not None
    return score, lost.strict, lost.compat


def test_its_assets_are_known_and_named_by_its_scorer(metric: Metric) -> None:
    assert all(name in assets.ASSETS for name in metric.assets)
    assert bool(metric.scorer()) == bool(metric.assets or metric.extra in ("utmos", "speechbrain"))


def test_importing_the_metrics_loads_no_framework() -> None:
    code = (
        "import sys; from speech_eval.metrics.catalog import METRICS; [METRICS.get(n)() for n in METRICS.names()];"
        "sys.exit(', '.join({'torch', 'onnxruntime', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
