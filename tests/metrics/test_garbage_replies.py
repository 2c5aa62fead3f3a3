"""What judges and models may send instead of an answer: never an exception, never for long, never a number that no mean
can be taken of."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

import pytest

from speech_eval.metrics.audiobench import instructions, judge, rules
from speech_eval.metrics.audiobench.spoken_math import original_number
from speech_eval.metrics.choices import air_bench_judge
from speech_eval.metrics.emergent_tts import original_winner, winner
from speech_eval.metrics.instruct_tts import flat_objects, original_verdict, verdict
from speech_eval.metrics.mmau_pro.metrics import original_scores, overall
from speech_eval.metrics.voicebench.instructions import _json
from speech_eval.metrics.voicebench.replies import bounded

DIGITS = "9" * 5000
GARBAGE = {
    "nothing": "",
    "deep lists": "[" * 50_000,
    "deep objects": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "quotes": "{" + '"" ' * 5_000 + "{",
    "a fence and spaces": "```json" + " \n" * 20_000,
    "words without end": "{" + "a" * 50_000 + "}",
    "digits": DIGITS,
    "a rating of digits": f"Correctness Rating: {DIGITS}",
    "a rating beyond floats": f"OVERALL: {'9' * 400} Rating: {'9' * 400}",
    "far below": f"-1{'0' * 400} 3",
    "a number of digits in JSON": f'{{"winner": {DIGITS}, "一致性": {DIGITS}}}',
    "a list of digits": f"{DIGITS}. one",
    "control characters": "\x00\x1b[31m\u202e\ufeff",
}
READERS: dict[str, Callable[[str], object]] = {
    "air-bench": air_bench_judge.pair,
    "air-bench compat": air_bench_judge.original_pair,
    "ifeval-audio": instructions.original_rating,
    "ifeval-audio, JSON": lambda text: rules.follows("13", '{"a": 1}', text),
    "ifeval-audio, list": lambda text: rules.follows("11", "1", text),
    "audiobench": judge.original_rating,
    "spoken-mqa": original_number,
    "instruct-tts": verdict,
    "instruct-tts compat": original_verdict,
    "emergent-tts": winner,
    "emergent-tts compat": original_winner,
    "mmau-pro": overall,
    "mmau-pro compat": original_scores,
    "ifeval, JSON": _json,
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("reader", READERS)
def test_garbage_is_read_soon_and_raises_nothing(reader: str, garbage: str) -> None:
    start = time.process_time()
    READERS[reader](GARBAGE[garbage])
    assert time.process_time() - start < 2


def test_a_rating_is_never_a_number_that_no_mean_can_be_taken_of() -> None:
    huge = "9" * 300
    assert bounded(1e300) is None and bounded(math.inf) is None and bounded(math.nan) is None and bounded(-7) == -7
    assert instructions.original_rating(f"Rating: {huge}") is None and instructions.original_rating("Rating: 7") == 7
    assert air_bench_judge.original_pair(f"-{huge} 3") is None and air_bench_judge.original_pair("-2 3") == (-2, 3)
    assert original_scores(f"OVERALL: {huge}")["overall"] == 3 and original_scores("overall: 9")["overall"] == 9


@pytest.mark.parametrize(
    "text",
    [
        'so {"reason": "a {b} c", "一致性": true} end',
        '{"a": {"b": 1}} {"c": "}"} {"d',
        r'{"a": "\"}{"} {} {"e": "\\"}',
        '{"a}" {"b"} "{c}" {',
        "{{}}{ } }{",
        '{"x": "y\n{z}"}',
    ],
)
def test_flat_objects_are_those_of_the_original_pattern(text: str) -> None:
    assert list(flat_objects(text)) == re.findall(r'\{(?:[^{}]|"(?:\\.|[^"\\])*")*\}', text)
