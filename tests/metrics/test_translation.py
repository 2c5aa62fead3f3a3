"""BLEU, chrF and classes: the corpus numbers of sacrebleu, and recalls by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speech_eval.metrics.records_file import evaluate

sacrebleu = pytest.importorskip("sacrebleu")

SAID = ["the cat sat on the mat", "", "Hello , world!", "a quick brown fox", "12.5 per cent of it", "No."]
RIGHT = ["the cat is on the mat", "there is a dog", "Hello, world!", "The quick brown fox jumps", "12.5% of it", "No."]


def scored(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    rows = [{"id": str(n), "language": "en", **record} for n, record in enumerate(records)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found: dict[str, Any] = evaluate(metric, path)
    return found


def pairs(said: list[str], right: list[str], **about: str) -> list[dict[str, Any]]:
    return [{"hypothesis": one, "reference": other, **about} for one, other in zip(said, right, strict=True)]


def test_bleu_and_chrf_are_those_of_the_corpus(tmp_path: Path) -> None:
    bleu = scored("bleu[sacrebleu@2.6.0]", tmp_path, *pairs(SAID, RIGHT))
    expected = sacrebleu.corpus_bleu(SAID, [RIGHT])
    assert bleu["aggregate"]["strict"]["bleu"] == pytest.approx(expected.score, abs=1e-9)
    assert bleu["aggregate"]["compat"] == bleu["aggregate"]["strict"]
    chrf = scored("chrf[sacrebleu@2.6.0]", tmp_path, *pairs(SAID, RIGHT))
    assert chrf["aggregate"]["strict"]["chrf"] == pytest.approx(sacrebleu.corpus_chrf(SAID, [RIGHT]).score, abs=1e-9)


def test_the_tokenizer_is_that_of_the_target_language_and_the_signature_says_so(tmp_path: Path) -> None:
    said, right = ["我喜欢喝茶和咖啡。", "今天天气很好"], ["我喜欢喝绿茶和咖啡。", "今天的天气很好"]
    found = scored("bleu[sacrebleu@2.6.0]", tmp_path, *pairs(said, right, target_language="zh"))
    expected = sacrebleu.corpus_bleu(said, [right], tokenize="zh").score
    assert found["aggregate"]["strict"]["bleu"] == pytest.approx(expected, abs=1e-9)
    assert expected > sacrebleu.corpus_bleu(said, [right]).score + 20
    assert "tok:zh" in found["samples"][0]["signature"] and "version:2.6.0" in found["samples"][0]["signature"]


def test_a_missing_translation_is_an_empty_line_of_the_corpus(tmp_path: Path) -> None:
    missing = [{"hypothesis": None, "reference": RIGHT[0]}, *pairs(SAID[2:], RIGHT[2:])]
    found = scored("bleu[sacrebleu@2.6.0]", tmp_path, *missing)["aggregate"]
    expected = sacrebleu.corpus_bleu(["", *SAID[2:]], [[RIGHT[0], *RIGHT[2:]]]).score
    assert found["strict"]["bleu"] == found["compat"]["bleu"] == pytest.approx(expected, abs=1e-9)


def test_the_recall_is_averaged_over_the_classes_of_the_references(tmp_path: Path) -> None:
    classes = ["neutral", "joy", "anger", "fear"]
    answers = ["neutral", "Neutral.", "It is neutral", "The speaker is happy", "angry", None, "fear", "neutral or joy"]
    right = ["neutral", "neutral", "neutral", "joy", "anger", "anger", "neutral", "joy"]
    rows = [{"hypothesis": a, "reference": r, "choices": classes} for a, r in zip(answers, right, strict=True)]
    found = scored("labels[classes@1]", tmp_path, *rows)["aggregate"]["strict"]
    assert found["uar"] == pytest.approx(100 * (3 / 4 + 1 / 2 + 1 / 2) / 3)  # fear is no class of a reference
    assert (found["accuracy"], found["unparsed"]) == (pytest.approx(100 * 5 / 8), 25.0)
    f1 = [2 * 1 * 0.75 / 1.75, 2 * 1 * 0.5 / 1.5, 2 * 1 * 0.5 / 1.5]
    assert found["weighted-f1"] == pytest.approx(100 * (4 * f1[0] + 2 * f1[1] + 2 * f1[2]) / 8)


def test_always_the_same_class_has_a_recall_of_one_over_the_classes(tmp_path: Path) -> None:
    rows = [{"hypothesis": "joy", "reference": r, "choices": ["joy", "fear"]} for r in ("joy", "joy", "joy", "fear")]
    found = scored("labels[classes@1]", tmp_path, *rows)["aggregate"]["strict"]
    assert (found["uar"], found["accuracy"]) == (50.0, 75.0)
