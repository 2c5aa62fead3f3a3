"""The Open ASR Leaderboard's word error rates: what each epoch normalizes, counts and leaves out.

The expected strings and counts marked as seen were read off runs of the original code at the commits named in
`harness/text/open_asr.py`, and of kaldialign 0.12.0.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_eval.engine.aggregate import aggregate
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.score import Job, score_sample
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Unit
from speech_eval.metrics.catalog import METRICS, present_name
from speech_eval.metrics.open_asr import composite, set_code, throughput
from speech_eval.metrics.records_file import evaluate
from speech_eval.records import DatasetRecord, Environment, Manifest, ModelInfo, Output, Sample, TaskRecord
from speech_eval.text.open_asr import EPOCHS, NOT_SCORED, Epoch, open_asr_english

JIWER, KALDI = EPOCHS[:2], EPOCHS[2:]
TEXTS = st.text(alphabet="abiB cdé 019.,'-$%", max_size=40)


def metric(epoch: Epoch) -> Metric:
    if epoch in KALDI:
        pytest.importorskip("kaldialign")
    made: Metric = METRICS.get(present_name(f"wer[open-asr@{epoch}]"))()
    return made


def item(reference: str | None, hypothesis: str | None, language: str = "en", **metadata: Any) -> ScoringItem:
    sample = Sample(id="s", text=reference, language=language, metadata=metadata)
    return ScoringItem(sample, Output(id="s", task="t", status="ok", seed=0, text=hypothesis), hypothesis)


def parts(epoch: Epoch, reference: str, hypothesis: str) -> dict[str, float]:
    return metric(epoch).score(item(reference, hypothesis)).parts


def edits(epoch: Epoch, reference: str, hypothesis: str) -> tuple[float, ...]:
    """Substitutions, deletions, insertions, reference words."""
    found = parts(epoch, reference, hypothesis)
    return tuple(found[name] for name in ("substitutions", "deletions", "insertions", "reference_words"))


def run_metric(folder: Path, name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), **r}) + "\n" for i, r in enumerate(records)), encoding="utf-8")
    return evaluate(name, path)


# -------------------------------------------------------------------------------------------- normalization


@pytest.mark.parametrize(
    ("text", "by_epoch"),
    [
        (
            "The dog's tail, it's here and what's that",
            {"A": "the dog is tail it is here and what is that", "BCDE": "the dog s tail it is here and what is that"},
        ),
        ("he 's been; she's got it", {"ABCDE": "he has been she has got it"}),
        ("Uh-huh, ah, hmm well", {"A": "huh ah well", "BCDE": "well"}),
        (
            "The B B C and the U.S.A. on 5 G",
            {"A": "the b b c and the u s a on 5 g", "BCDE": "the bbc and the usa on 5g"},
        ),
        ("I a big cat, A I is I", {"ABCDE": "i a big cat a i is i"}),
        ("H. A. I.", {"A": "h a i", "BCDE": "hai"}),
        (
            "Muhammad met Kathryn and Stephen",
            {"A": "muhammad met kathryn and stephen", "BCDE": "mohammed met catherine and steven"},
        ),
        (
            "wi-fi, Hi-Fi, e-mail at 5 a.m. O.K.",
            {"A": "wi fi hi fi e mail at 5 a m 0 k", "BCDE": "wifi hifi email at 5 am okay"},
        ),
        (
            "ok, etcetera, et cetera, all right, kay, how ever",
            {
                "A": "ok etcetera et cetera all right kay how ever",
                "B": "okay etcetera et cetera all right kay how ever",
                "CDE": "okay etc etc alright okay however",
            },
        ),
        ("a flyer flew", {"ABC": "a flyer flew", "DE": "a flier flew"}),
        (
            "travelogue, pummelled archaeology cancellation snowploughs 5mm",
            {"ABCDE": "travelog pummeled archeology cancelation snowplows 5 hmm"},
        ),
        ("Mr. Fox paid $2 and 7 cents for twenty-one", {"ABCDE": "mister fox paid $2.07 for 21"}),
        ("(laughs) uh <unk>", {"ABCDE": ""}),
    ],
)
def test_normalization_as_seen_in_each_epoch(text: str, by_epoch: dict[str, str]) -> None:
    for epochs, expected in by_epoch.items():
        for epoch in EPOCHS:
            if epoch in epochs:
                assert open_asr_english(text, epoch) == expected, epoch


def test_is_written_out_after_the_thirteen_listed_words_only_from_epoch_b_on() -> None:
    words = ["it", "he", "she", "what", "that", "who", "here", "there", "how", "when", "where", "why", "this"]
    for word in words:
        assert open_asr_english(f"{word}'s", "B") == f"{word} is"
    assert open_asr_english("john's", "A") == "john is" and open_asr_english("mark's", "B") == "mark s"


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_normalized_text_has_single_spaces(text: str) -> None:
    for epoch in EPOCHS:
        normalized = open_asr_english(text, epoch)
        assert normalized.strip() == " ".join(normalized.split()) and "  " not in normalized


# ------------------------------------------------------------------------------------------------- alignment


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counted"),
    [
        ("white paper", "whitepaper", (0, 0, 0, 2)),
        ("whitepaper", "white paper", (0, 0, 0, 1)),
        ("over the counter drug", "overthecounterdrug", (0, 0, 0, 4)),
        ("abx cx", "ab xcx", (2, 0, 0, 2)),
        ("xx aa bb", "xx aabb zz", (0, 0, 1, 3)),
    ],
)
def test_neighboring_words_are_merged_from_epoch_c_on_as_seen(
    reference: str, hypothesis: str, counted: tuple[float, ...]
) -> None:
    for epoch in KALDI:
        assert edits(epoch, reference, hypothesis) == counted


def test_until_epoch_b_a_compound_in_two_words_is_two_errors() -> None:
    for epoch in JIWER:
        assert edits(epoch, "the white paper", "the whitepaper") == (1, 1, 0, 3)


def test_a_merge_keeps_the_number_of_reference_words() -> None:
    assert parts("C", "the white paper is here", "the whitepaper was here")["reference_words"] == 5


# -------------------------------------------------------------------------------------------- what is counted


@pytest.mark.parametrize("epoch", JIWER)
def test_until_epoch_b_a_blank_reference_does_not_count_in_compat_and_its_insertions_do_in_strict(epoch: Epoch) -> None:
    value = metric(epoch).score(item("(laughs) uh", "thank you"))
    assert value.parts["insertions"] == value.parts["errors"] == 2
    assert value.compat is not None and set(value.compat.values()) == {0.0}


@pytest.mark.parametrize("epoch", KALDI)
def test_from_epoch_c_on_what_is_heard_against_a_blank_reference_is_inserted(epoch: Epoch, tmp_path: Path) -> None:
    records = [{"reference": "uh", "hypothesis": "thank you so"}, {"reference": "yes", "hypothesis": "yes"}]
    result = run_metric(tmp_path, f"wer[open-asr@{epoch}]", records)["aggregate"]
    assert result["strict"]["wer"] == result["compat"]["wer"] == result["compat"]["insertions"] == 300.0


@pytest.mark.parametrize("epoch", JIWER)
def test_segments_that_the_dataset_marks_as_not_to_be_scored_do_not_count(epoch: Epoch) -> None:
    assert parts(epoch, NOT_SCORED, "some words")["errors"] == 0
    assert metric(epoch).failure(Sample(id="s", text=NOT_SCORED))["errors"] == 0


@pytest.mark.parametrize("epoch", EPOCHS)
def test_a_missing_answer_is_all_deletions_in_strict(epoch: Epoch) -> None:
    failure = metric(epoch).failure(Sample(id="s", text="one too many"))
    assert failure == parts(epoch, "one too many", "")
    assert failure["deletions"] == failure["reference_words"] == 3
    assert metric(epoch).failure(Sample(id="s", text="uh"))["errors"] == 1


@pytest.mark.parametrize("epoch", EPOCHS)
def test_in_compat_a_missing_answer_is_left_out_until_epoch_c_and_an_empty_transcript_later(epoch: Epoch) -> None:
    found = metric(epoch).compat_failure(Sample(id="s", text="one too many"))
    assert found == (None if epoch in "ABC" else parts(epoch, "one too many", ""))


def test_other_languages_and_samples_without_text_are_refused() -> None:
    with pytest.raises(BadInput, match="'fr'"):
        metric("A").score(item("bonjour", "bonjour", language="fr"))
    with pytest.raises(BadInput, match="no reference"):
        metric("A").score(item(None, "hello"))


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_a_perfect_transcript_has_no_errors(text: str) -> None:
    for epoch in EPOCHS:
        assert parts(epoch, text, text)["errors"] == 0


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS)
def test_merging_words_never_adds_errors(reference: str, hypothesis: str) -> None:
    pytest.importorskip("kaldialign")
    score = metric("C").score(item(reference, hypothesis))
    assert score.detail is not None
    plain = jiwer.process_words(score.detail["reference"], score.detail["hypothesis"])
    assert score.parts["errors"] <= plain.substitutions + plain.deletions + plain.insertions


# --------------------------------------------------------------------------------------- the whole, as seen

RECORDS = [
    ("ami", "Uh-huh, I think John's white paper is okay.", "I think johns whitepaper is OK"),
    ("ami", "uh (laughs)", "thank you for watching"),
    ("ami", "It's on the B B C, you know, with Stephen", "Its on the BBC you know with Steven"),
    ("ami", "all right then, hmm, five o'clock", "alright then huh 5 o clock"),
    ("ami", "the harbour lights went out", "the harbor light went out, um, out"),
    ("ls", "Mr. Fox didn't see the flyer", "mister fox did not see the flier"),
    ("ls", "she'd gone to Katherine's wi-fi cafe", "she had gone to Catherine's wifi cafe"),
    ("ls", NOT_SCORED, "hello there"),
    ("ls", "twenty one pounds and seven pence", "£21 and 7 pence"),
    ("ls", "archaeology is the travelogue of time", "archeology is travel log of time"),
    ("ls", "no one answered", ""),
]
# Word error rates of ami and ls and their composite, from the original's own filter, normalizer and score_results.
AS_SEEN: dict[Epoch, tuple[float, float, float]] = {
    "A": (56.67, 31.03, 43.85),
    "B": (37.04, 21.43, 29.235),
    "C": (30.77, 33.33, 32.05),
    "D": (30.77, 30.30, 30.535),
    "E": (30.77, 30.30, 30.535),
}


@pytest.mark.parametrize("epoch", EPOCHS)
def test_the_rates_of_two_sets_and_their_composite_as_seen(epoch: Epoch, tmp_path: Path) -> None:
    name = metric(epoch).id
    records = [{"set": label, "reference": text, "hypothesis": heard} for label, text, heard in RECORDS]
    rates = [
        run_metric(tmp_path, name, [record for record in records if record["set"] == label])["aggregate"]["compat"]
        for label in ("ami", "ls")
    ]
    assert [round(rate["wer"], 2) for rate in rates] == list(AS_SEEN[epoch][:2])
    assert run_metric(tmp_path, name, records)["aggregate"]["compat"]["composite"] == pytest.approx(AS_SEEN[epoch][2])


# -------------------------------------------------------------------------------------------------- composite


def columns(rows: list[tuple[float, float, str]]) -> dict[str, np.ndarray]:
    errors, words, sets = zip(*rows, strict=True)
    return {
        "errors": np.array(errors),
        "reference_words": np.array(words),
        "set": np.array([set_code(name) for name in sets]),
    }


def test_the_composite_is_the_mean_of_rounded_rates_of_the_sets() -> None:
    data = columns([(1, 3, "ami"), (0, 3, "ami"), (2, 3, "tedlium")])
    assert composite(data, np.ones((1, 3))) == pytest.approx((16.67 + 66.67) / 2, abs=1e-12)


def test_the_composite_rounds_as_python_does() -> None:
    assert composite(columns([(2675, 1e5, "a")]), np.ones((1, 1)))[0] == round(100 * (2675 / 1e5), 2)


def test_a_set_of_which_nothing_is_drawn_does_not_count_in_a_resample() -> None:
    data = columns([(1, 2, "a"), (1, 4, "b")])
    with np.errstate(invalid="ignore"):
        found = composite(data, np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]))
    assert found.tolist() == [37.5, 50.0, 25.0]


def test_a_set_without_reference_words_leaves_the_composite_undefined() -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(composite(columns([(0, 0, "a"), (1, 4, "b")]), np.ones((1, 2)))[0])


def test_without_sets_the_composite_is_the_rounded_corpus_rate(tmp_path: Path) -> None:
    records = [{"reference": "a b c", "hypothesis": "a b"}]
    found = run_metric(tmp_path, "wer[open-asr@A]", records)["aggregate"]["strict"]
    assert found["wer"] == pytest.approx(100 / 3) and found["composite"] == 33.33


def test_each_set_weighs_the_same_however_long(tmp_path: Path) -> None:
    records = [
        {"reference": "cats like dry food", "hypothesis": "cats like dry", "set": "long"},
        {"reference": "yes", "hypothesis": "no", "set": "short"},
    ]
    found = run_metric(tmp_path, "wer[open-asr@B]", records)["aggregate"]["strict"]
    assert (found["wer"], found["composite"]) == (40.0, 62.5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.sampled_from("abc")), min_size=1), st.randoms())
def test_the_order_of_the_samples_does_not_matter(rows: list[Any], shuffler: random.Random) -> None:
    weights = np.ones((1, len(rows)))
    before = composite(columns(rows), weights)
    shuffler.shuffle(rows)
    assert composite(columns(rows), weights) == pytest.approx(before)


# ------------------------------------------------------------------------------------------- calls in chunks

CALL = "good morning everyone this is the call"
CHUNKS = [
    {"reference": CALL, "hypothesis": "this is", "call": "c1", "index": 1},
    {"reference": CALL, "hypothesis": " ", "call": "c1", "index": 2},
    {"reference": CALL, "hypothesis": " Good morning, every", "call": "c1", "index": 0},
    {"reference": CALL, "hypothesis": "a call", "call": "c1", "index": 10},
]


def test_the_chunks_of_a_call_are_put_together_in_order_and_scored_once(tmp_path: Path) -> None:
    pytest.importorskip("kaldialign")
    found = run_metric(tmp_path, "wer[open-asr@E]", CHUNKS)
    # "everyone" / "every" and "the" / "a" of seven words.
    assert found["aggregate"]["strict"]["wer"] == found["aggregate"]["compat"]["wer"] == pytest.approx(200 / 7)
    assert [sample["parts"] for sample in found["samples"]] == [{}, {}, {}, {}]


def test_words_are_normalized_across_the_seam_of_two_chunks() -> None:
    reference = "The BBC has the wifi"
    chunks = ["The B. B.", "C has the wi", "fi"]
    samples = [Sample(id=str(i), text=reference, metadata={"parent_id": "c", "chunk_index": i}) for i in range(3)]
    units = [Unit(sample, {}, {}, {"hypothesis": text}) for sample, text in zip(samples, chunks, strict=True)]
    (whole,) = metric("E").pool(units)
    assert whole.strict["errors"] == 0 and whole.strict["reference_words"] == 5
    assert whole.sample.cluster == "call c" and whole.detail["hypothesis"] == "the bbc has the wifi"


def test_a_missing_chunk_deletes_its_words_and_a_call_without_any_is_all_deleted(tmp_path: Path) -> None:
    pytest.importorskip("kaldialign")
    lost = [{**chunk, "hypothesis": None if chunk["index"] == 10 else chunk["hypothesis"]} for chunk in CHUNKS]
    assert run_metric(tmp_path, "wer[open-asr@E]", lost)["aggregate"]["strict"]["deletions"] == pytest.approx(200 / 7)
    gone = [{**chunk, "hypothesis": None} for chunk in CHUNKS]
    assert run_metric(tmp_path, "wer[open-asr@E]", gone)["aggregate"]["strict"]["wer"] == 100.0


def test_samples_without_a_call_are_scored_as_in_epoch_d(tmp_path: Path) -> None:
    pytest.importorskip("kaldialign")
    plain = [{"reference": "the white paper", "hypothesis": "a whitepaper", "set": "ami"}]
    assert metric("E").score(item("a flyer", "flier")) == metric("D").score(item("a flyer", "flier"))
    mixed = [*plain, *({**chunk, "set": "earnings22"} for chunk in CHUNKS)]
    found = run_metric(tmp_path, "wer[open-asr@E]", mixed)["aggregate"]["strict"]
    assert found["composite"] == pytest.approx((33.33 + 28.57) / 2)


def test_chunks_without_a_place_or_with_references_of_their_own_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("kaldialign")
    with pytest.raises(BadInput, match="no number in `index`"):
        run_metric(tmp_path, "wer[open-asr@E]", [{"reference": "a", "hypothesis": "a", "call": "c"}])
    with pytest.raises(BadInput, match="different references"):
        run_metric(tmp_path, "wer[open-asr@E]", [CHUNKS[0], {**CHUNKS[1], "reference": "something else"}])


def test_calls_are_pooled_when_a_run_is_aggregated(tmp_path: Path) -> None:
    pytest.importorskip("kaldialign")
    run = RunDirectory(tmp_path / "run")
    samples = [
        Sample(id=f"{c['call']}-{c['index']}", text=CALL, metadata={"call": c["call"], "index": c["index"]})
        for c in CHUNKS
    ]
    outputs = [
        Output(id=sample.id, task="calls", status="ok", seed=0, text=str(chunk["hypothesis"]))
        for sample, chunk in zip(samples, CHUNKS, strict=True)
    ]
    name = "wer[open-asr@E]"
    scores = [
        score
        for sample, output in zip(samples, outputs, strict=True)
        for score in score_sample(Job(sample, output, None, (name,), None, None, False, None, {}, ())).scores
    ]
    run.replace("samples", "calls", samples)
    run.replace("outputs", "calls", outputs)
    run.replace("scores", "calls", scores)
    record = TaskRecord(
        version=1,
        protocol="calls@1",
        interface="SpeechRecognizer",
        primary=name,
        metrics=[name],
        samples=len(samples),
        dataset=DatasetRecord(name="calls", location="calls", version="1", sha256="0" * 64),
    )
    model, machine = ModelInfo(name="m"), Environment(python="3")
    tasks = {"calls": record}
    run.write_manifest(Manifest(harness_version="0", model=model, seed=0, tasks=tasks, environment=machine))
    (wer, *_) = aggregate(run).tasks[0].metrics
    assert wer.strict.value == wer.compat.value == pytest.approx(200 / 7, abs=1e-6)
    assert wer.strict.n == 1 and wer.primary


# ------------------------------------------------------------------------------------------------- throughput


def test_rtfx_is_all_audio_over_all_time_and_not_a_mean_of_ratios(tmp_path: Path) -> None:
    records = [{"duration": 10.0, "time": 1.0}, {"duration": 1.0, "time": 1.0}]
    found = run_metric(tmp_path, "rtfx[open-asr]", records)["aggregate"]
    assert found["strict"]["rtfx"] == found["compat"]["rtfx"] == 5.5


def test_rtfx_is_not_defined_where_an_answer_is_missing_or_took_no_time() -> None:
    rtfx: Metric = METRICS.get("rtfx[open-asr]")()
    lost = rtfx.failure(Sample(id="s"))
    assert rtfx.compat_failure(Sample(id="s")) is None
    data = {name: np.array([value, 3.0]) for name, value in lost.items()}
    rates = throughput(data, np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert np.isnan(rates[0]) and rates[1] == 1.0


def test_rtfx_names_the_field_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="`time`"):
        run_metric(tmp_path, "rtfx[open-asr]", [{"duration": 10.0}])
    with pytest.raises(BadInput, match="`duration`"):
        run_metric(tmp_path, "rtfx[open-asr]", [{"time": 1.0}])
