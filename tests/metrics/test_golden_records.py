"""`speech-eval metric` on odd records: the numbers and normalised texts that the benchmarks' own code gave for them.

`golden/official.jsonl` holds records drawn at random from texts with every oddity (empty answers, full-width
punctuation, Latin in Chinese, runs of spaces, apostrophes, all forms of an answer) and what the original, run as
published, made of each: Seed-TTS-eval at 752f429 (jiwer 3.0.5, zhon 2.1.1), the Open ASR Leaderboard at one commit an
epoch (kaldialign 0.12.0), VoiceBench at 5338154. `golden/choices.jsonl` holds the same of questions with options: MMAU
at 110127f, AudioBench's string match at e991641, AIR-Bench's foundation part at 9832476.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speech_eval.errors import BadInput
from speech_eval.metrics.records_file import evaluate

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.jsonl"))
LINES = [json.loads(line) for path in GOLDEN for line in path.open(encoding="utf-8")]
EDITS = ("substitutions", "deletions", "insertions", "reference_words")


def scored(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return evaluate(metric, path)


@pytest.mark.parametrize("metric", sorted({line["metric"] for line in LINES}))
def test_every_record_comes_out_as_the_original_has_it(metric: str, tmp_path: Path) -> None:
    lines = [line for line in LINES if line["metric"] == metric]
    for line, sample in zip(lines, scored(metric, tmp_path, *(x["record"] for x in lines))["samples"], strict=True):
        expected = dict(line["expected"])
        if "edits" in expected:
            assert [sample["compat_parts"][name] for name in EDITS] == expected.pop("edits"), line
        number = expected.pop("compat", None)
        assert "compat" not in line["expected"] or sample["compat"] == pytest.approx(number, abs=1e-12), line
        assert {name: sample[name] for name in expected} == expected, line


# ------------------------------------------------------------------------------------------- names of fields


@pytest.mark.parametrize("said", ["hypothesis", "response", "prediction", "pred_text", "hyp", "model_output"])
@pytest.mark.parametrize("right", ["reference", "ref", "text", "ground_truth", "target", "answer"])
def test_answer_and_reference_go_by_the_names_that_tools_write(said: str, right: str, tmp_path: Path) -> None:
    found = scored("wer[open-asr@A]", tmp_path, {"id": "a", said: "old boats", right: "old boats drift by"})
    assert found["samples"][0]["value"] == 0.5


WORDS = [["so", 2.0, 2.4], ["I", 2.5, 2.6], ["think", 2.7, 3.2]]
FORMS = {
    "lists": {"words": WORDS},
    "times first": {"words": [[start, end, text] for text, start, end in WORDS]},
    "objects": {"words": [{"word": text, "start": start, "end": end} for text, start, end in WORDS]},
    "long names": {"words": [{"text": text, "start_time": start, "end_time": end} for text, start, end in WORDS]},
    "chunks": {"chunks": [{"text": text, "timestamp": [start, end]} for text, start, end in WORDS]},
    "output": {"output": {"chunks": [{"text": text, "timestamp": [start, end]} for text, start, end in WORDS]}},
    "segments": {"segments": [{"text": text, "start": start, "end": end} for text, start, end in WORDS]},
}
ENDS = {
    "turn_end": {"turn_end": 1.5},
    "input_end_time": {"input_end_time": 1.5},
    "the original's file": {"turn_taking": [{"text": "[TURN]", "timestamp": [1.5, 1.9]}]},
    "the original's interruption": {"interrupt": [{"interrupt": "wait", "timestamp": [0.2, 1.5]}]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ENDS)
def test_aligned_words_are_read_in_the_forms_that_aligners_write(form: str, end: str, tmp_path: Path) -> None:
    found = scored("turn-taking[fdb@1.0]", tmp_path, {"id": "a", **FORMS[form], **ENDS[end]})
    assert found["aggregate"]["compat"] == {"tor": 1.0, "latency": 0.5}


def test_words_in_an_unknown_form_are_refused_and_not_taken_for_silence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'words' holds .*\[text, start, end\]"):
        scored("pause-handling[fdb@1.0]", tmp_path, {"id": "a", "words": [{"text": "so", "at": 2.0}]})


def test_a_rating_that_is_read_already_stands_for_the_judges_reply(tmp_path: Path) -> None:
    found = scored("interruption[fdb@1.0]", tmp_path, {"id": "a", "words": WORDS, "turn_end": 1.5, "rating": 4})
    assert found["aggregate"]["strict"]["rating"] == found["aggregate"]["compat"]["rating"] == 4.0


def test_segments_count_the_words_of_their_text(tmp_path: Path) -> None:
    spans = [{"start": 1.0, "end": 1.6, "text": "oh I see"}, {"start": 3.0, "end": 3.4, "text": "mhm"}]
    record = {"id": "a", "segments": spans, "duration": 8.0, "gt_distribution": [0.5, 0.5]}
    assert scored("backchannel[fdb@1.0]", tmp_path, record)["samples"][0]["words"] == [3, 1]


# ------------------------------------------------------------------------------------------- missing things


def test_a_sample_shows_what_the_original_has_of_it_and_null_where_it_leaves_it_out(tmp_path: Path) -> None:
    quirk = {"id": "q", "response": "The answer is absolutely B", "reference": "A"}
    lost = {"id": "n", "response": None, "reference": "A"}
    samples = scored("choice[voicebench]", tmp_path, quirk, lost)["samples"]
    assert [(s["value"], s["compat"]) for s in samples] == [(0.0, 1.0), (0.0, None)]


@pytest.mark.parametrize("votes", [{"response": None}, {"response": "words", "score": []}])
def test_a_missing_answer_and_an_empty_list_of_votes_fail_their_sample_alone(
    votes: dict[str, Any], tmp_path: Path
) -> None:
    found = scored(
        "judge[voicebench]", tmp_path, {"id": "a", "score": ["4", "5", "3"]}, {"id": "b", "prompt": "p", **votes}
    )
    assert [sample["status"] for sample in found["samples"]] == ["ok", "failed"]
    assert (found["aggregate"]["strict"]["score"], found["aggregate"]["compat"]["score"]) == (2.5, 4.0)


def test_a_reference_that_is_no_text_is_named_as_the_record_has_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="line 1: `reference`"):
        scored("choice[voicebench]", tmp_path, {"id": "a", "response": "A", "reference": 1})
