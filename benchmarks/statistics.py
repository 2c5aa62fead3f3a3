"""What an interval costs: 10 000 resamples by the harness against SciPy's bootstrap, as the number of samples grows.

    python benchmarks/statistics.py [--samples 100 1000 10000] [--rounds 3]

Corpus WER (errors over words) of the same utterances on both sides, one after the other within a round; the ratio is
taken within the round. Seconds are of the processor, so that a busy machine does not count. SciPy draws 1 000 resamples
and is scaled to 10 000: at 10 000 samples it would hold gigabytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

# This file has the name of a module of the standard library, and the scripts beside it mean that one.
_PATH = list(sys.path)
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
sys.modules.pop("statistics", None)
from statistics import median  # noqa: E402

sys.path[:] = _PATH

import argparse  # noqa: E402
import json  # noqa: E402
from collections.abc import Callable  # noqa: E402
from time import process_time  # noqa: E402

import numpy as np  # noqa: E402
from scipy.stats import bootstrap as scipy_bootstrap  # noqa: E402

from speech_eval.statistics.bootstrap import bootstrap  # noqa: E402
from speech_eval.statistics.paired import paired_test  # noqa: E402
from speech_eval.statistics.summaries import Rows, Summary  # noqa: E402

RESAMPLES = 10_000
WER = Summary("wer", "ratio", ("errors", "words"), "%", "lower", 100.0)


def utterances(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    words = rng.integers(3, 30, n)
    return Rows({"errors": rng.binomial(words, rng.beta(0.3, 5, n)).astype(float), "words": words.astype(float)}, n)


def timed(function: Callable[[], object]) -> float:
    start = process_time()
    function()
    return process_time() - start


def scipys(data: Rows) -> object:
    def wer(errors: np.ndarray, words: np.ndarray, axis: int) -> np.ndarray:
        return errors.sum(axis) / words.sum(axis)

    columns = (data.columns["errors"], data.columns["words"])
    options = {"paired": True, "vectorized": True, "method": "percentile", "batch": 50}
    return scipy_bootstrap(columns, wer, n_resamples=RESAMPLES // 10, rng=np.random.default_rng(0), **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for n in arguments.samples:
        data, other, alone = utterances(n, 0), utterances(n, 1), np.arange(n)
        rounds = []
        for _ in range(arguments.rounds):
            ours = timed(lambda data=data, alone=alone: bootstrap(WER, data, alone, seed="s", resamples=RESAMPLES))
            compared = timed(lambda data=data, other=other, alone=alone: paired_test(WER, data, other, alone, seed="s"))
            rounds.append((ours, 10 * timed(lambda data=data: scipys(data)), compared))
        report = {
            "samples": n,
            "resamples": RESAMPLES,
            "interval_seconds": round(median(ours for ours, _, _ in rounds), 3),
            "comparison_seconds": round(median(compared for _, _, compared in rounds), 3),
            "scipy_over_ours": round(median(theirs / ours for ours, theirs, _ in rounds), 1),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
