"""AudioBench's sets without options: rules of form as the original checks them, numbers of spoken problems, BLEU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speech_eval.errors import NotFetched
from speech_eval.metrics.audiobench.rules import follows
from speech_eval.metrics.catalog import METRICS
from speech_eval.metrics.records_file import evaluate

RULES = json.loads((Path(__file__).parent / "golden" / "audiobench_rules.json").read_text("utf-8"))
MATH, FORM, BLEU = "accuracy[spoken-mqa@e991641]", "ifeval-audio[audiobench@e991641]", "bleu[audiobench@e991641]"


def scored(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), **record}) + "\n" for n, record in enumerate(records)), "utf-8")
    return evaluate(metric, path)


@pytest.mark.parametrize("rule", sorted({row[0] for row in RULES}, key=int))
def test_every_rule_is_kept_where_the_original_says_so(rule: str) -> None:
    """Random answers and targets, judged by format_test of AudioLLMs/AudioBench at e991641."""
    rows = [row for row in RULES if row[0] == rule]
    assert len({row[3] for row in rows}) == 2, "golden records of both outcomes"
    assert [follows(rule, target, answer) for _, target, answer, _ in rows] == [kept for *_, kept in rows]


@pytest.mark.parametrize(
    ("rule", "target", "answer", "reply", "original", "ours"),
    [
        ("4", "", "a small dog", "Correctness Rating: 1\nExplanation: right", (1, 1, 1), (1, 1, 1)),
        ("4", "", "A small dog", "Correctness Rating: 1\n", (0, 1, 0), (0, 1, 0)),
        ("4", "", "a small dog", "Correctness Rating: (1)", (0, 0, 0), (1, 1, 1)),  # unread, the original drops both
        ("4", "", "a small dog", "Rating: 5", (0, 5, 1), (0, 0, 1)),
        ("3", "", "123", "Correctness Rating: 1", (1, 1, 1), (0, 1, 0)),  # no letter is in small letters
        ("", "", "anything", "Correctness Rating: 0", (0, 0, 1), (0, 0, 1)),
    ],
)
def test_an_answer_succeeds_that_is_right_and_keeps_its_rule(
    rule: str, target: str, answer: str, reply: str, original: tuple[int, ...], ours: tuple[int, ...], tmp_path: Path
) -> None:
    row = {"rule": rule, "rule_content": target, "response": answer, "reference": "a dog", "judge_response": reply}
    (sample,) = scored(FORM, tmp_path, row)["samples"]
    names = ("success", "correct", "follows")
    assert tuple(sample["parts"][name] for name in names) == ours
    assert tuple(sample["compat_parts"][name] for name in names) == original


@pytest.mark.parametrize(
    ("answer", "keys", "original", "ours"),
    [
        ("The answer is 42.", ["42"], 1, 1),
        ("forty-two", ["42"], 0, 1),  # the original reads digits alone
        ("It costs 1,050 dollars", ["1050"], 1, 1),
        ("7", ["seven", "7"], 0, 1),  # further keys never help in the original
        ("20 minus 6 is 14, and half of it 7", ["7"], 1, 0),  # ours takes the number that an answer begins with
        (None, ["7"], 0, 0),
    ],
)
def test_a_number_is_read_by_both_rules(
    answer: str | None, keys: list[str], original: int, ours: int, tmp_path: Path
) -> None:
    row = {"response": answer, "reference": keys[0], "keys": keys, "kind": "arithmetic"}
    found = scored(MATH, tmp_path, row)["aggregate"]
    assert (found["compat"]["accuracy"], found["strict"]["accuracy"]) == (100 * original, 100 * ours)


@pytest.fixture
def pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small SentencePiece model in the place of sacrebleu's."""
    library = pytest.importorskip("sentencepiece")
    tool = pytest.importorskip("sacrebleu")
    texts = tmp_path / "texts.txt"
    texts.write_text("the small dog sleeps in the sun\na cat sits on the warm stone\nempty words are said\n" * 20)
    folder = tmp_path / "sacrebleu" / "models"
    folder.mkdir(parents=True)
    prefix = folder / "sacrebleu_tokenizer_spm"
    library.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(prefix), vocab_size=40, hard_vocab_limit=False, minloglevel=2
    )
    for module in ("sacrebleu.utils", "sacrebleu.tokenizers.tokenizer_spm"):
        monkeypatch.setattr(f"{module}.SACREBLEU_DIR", str(tmp_path / "sacrebleu"))
    assert tool.__version__ == "2.6.0"
    return folder


def test_bleu_over_pieces_is_sacrebleus_with_empty_lines_as_a_word(pieces: Path, tmp_path: Path) -> None:
    from sacrebleu import corpus_bleu

    said = ["the small dog sleeps in the sun", "", "a cat sits on a stone in the sun"]
    right = ["a small dog sleeps in the sun", "words are said", "a cat sits on the warm stone"]
    rows = [{"response": one, "reference": other, "language": "en"} for one, other in zip(said, right, strict=True)]
    METRICS.get(BLEU).ready()
    found = scored(BLEU, tmp_path, *rows)
    expected = corpus_bleu([one or "empty" for one in said], [right], tokenize="flores101").score
    assert found["aggregate"]["strict"]["bleu"] == pytest.approx(expected) and 0 < expected < 100
    assert "tok:flores101" in found["samples"][0]["signature"]


def test_without_the_pieces_nothing_is_fetched_behind_the_users_back(pieces: Path) -> None:
    (pieces / "sacrebleu_tokenizer_spm.model").unlink()
    with pytest.raises(NotFetched, match="flores101"):
        METRICS.get(BLEU).ready()
