"""Odd cases of Seed-TTS-eval's error rate by `speech-eval metric`: run_wer.py at 752f429 (jiwer 3.1, zhconv)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speech_eval.metrics.records_file import evaluate

pytest.importorskip("zhconv")

# language, reference, transcript, and what the original prints: wer, substitutions, deletions, insertions.
GOLDEN = [
    ("zh", "你好，世界。", "", (1.0, 0.0, 1.0, 0.0)),
    ("zh", "你好", "   ", (1.0, 0.0, 1.0, 0.0)),
    ("zh", "你好ＡＢ１２", "你好AB12", (2 / 3, 2 / 3, 0.0, 0.0)),
    ("zh", "我用iPhone打电话", "我用 iPhone 打电话", (0.0, 0.0, 0.0, 0.0)),
    ("zh", "我用iPhone", "我用iphone", (1 / 8, 1 / 8, 0.0, 0.0)),
    ("zh", "你  好", "你好", (0.0, 0.0, 0.0, 0.0)),
    ("zh", "你   好", "你 好", (0.0, 0.0, 0.0, 0.0)),
    ("zh", " 你好 ", "你好", (0.0, 0.0, 0.0, 0.0)),
    ("zh", "你\u3000好", "你好", (0.0, 0.0, 0.0, 0.0)),
    ("zh", "我's", "我s", (1 / 3, 0.0, 1 / 3, 0.0)),
    ("zh", "我’s", "我s", (0.0, 0.0, 0.0, 0.0)),
    ("zh", "「你好」", "妳好", (0.0, 0.0, 0.0, 0.0)),
    ("zh", "台湾的计算机", "台灣的電腦", (1 / 2, 1 / 3, 1 / 6, 0.0)),
    ("en", "don't stop", "dont stop", (1 / 2, 1 / 2, 0.0, 0.0)),
    ("en", "don’t stop", "dont stop", (0.0, 0.0, 0.0, 0.0)),
    ("en", "twenty-one", "twenty one", (2.0, 1.0, 0.0, 1.0)),
    ("en", "a   b", "a b", (0.0, 0.0, 0.0, 0.0)),
    ("en", "hello there", "", (1.0, 0.0, 1.0, 0.0)),
]


def test_numbers_are_those_of_the_original(tmp_path: Path) -> None:
    rows = [
        {"id": str(number), "language": language, "reference": reference, "hypothesis": hypothesis}
        for number, (language, reference, hypothesis, _) in enumerate(GOLDEN)
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = evaluate("wer[seed-tts-eval@2024-06]", tmp_path / "records.jsonl")
    for case, sample in zip(GOLDEN, found["samples"], strict=True):
        parts = [sample["parts"][name] for name in ("wer", "substitution_rate", "deletion_rate", "insertion_rate")]
        assert sample["status"] == "ok" and parts == pytest.approx(case[3]), case[:3]
    assert found["aggregate"]["compat"]["wer"] == pytest.approx(100 * sum(case[3][0] for case in GOLDEN) / len(GOLDEN))


@pytest.mark.parametrize(("language", "reference"), [("zh", "，。"), ("en", "..."), ("zh", " ")])
def test_nothing_but_punctuation_stops_the_original_and_is_a_failure_here(
    tmp_path: Path, language: str, reference: str
) -> None:
    row = {"id": "a", "language": language, "reference": reference, "hypothesis": "x"}
    (tmp_path / "records.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    found = evaluate("wer[seed-tts-eval@2024-06]", tmp_path / "records.jsonl")
    assert found["samples"][0]["status"] == "failed" and found["aggregate"]["compat"]["wer"] is None
    assert found["aggregate"]["strict"]["wer"] == 100.0
