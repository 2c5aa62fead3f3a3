"""Bitrate and token rate of a codec, and the use of its codebooks, measured from the stored codes."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.metrics.codec.pairs import codes_of
from speech_eval.records import CodebookRecord, Sample

_PARTS = ("bits", "adaptive_bits", "entropy_bits", "tokens", "seconds", "usage", "perplexity", "answers")


class Bitrate(Metric):
    """Bits per second by three counts, all over the seconds of the recordings.

    `bitrate` counts log2(size) bits for every code. `entropy-bitrate` is that of an adaptive arithmetic coder of order
    zero (Krichevsky and Trofimov's estimator, one model per codebook, reset for every sample). `histogram-bitrate` is
    the entropy of the sample's own histogram, which the decoder does not know: a lower bound, far below for short
    samples. Usage and perplexity are those of one sample, averaged over codebooks, relative to the maximum for a sample
    of its length: compare codecs on the same recordings only.
    """

    id = "bitrate[measured@1]"
    description = "Bits and tokens per second, nominal and after entropy coding; usage and perplexity of the codebooks"
    source = "Shannon 1948; Krichevsky and Trofimov 1981"
    needs = frozenset({"audio"})
    summaries = (
        Summary("bitrate", "ratio", ("bits", "seconds"), unit="kbit/s", direction="lower", scale=1e-3),
        Summary("entropy-bitrate", "ratio", ("adaptive_bits", "seconds"), "kbit/s", "lower", 1e-3),
        Summary("histogram-bitrate", "ratio", ("entropy_bits", "seconds"), "kbit/s", "lower", 1e-3, headline=False),
        Summary("token-rate", "ratio", ("tokens", "seconds"), unit="tokens/s", direction="lower"),
        Summary("codebook-usage", "ratio", ("usage", "answers"), "%", "higher", 100.0, headline=False),
        Summary("codebook-perplexity", "ratio", ("perplexity", "answers"), "%", "higher", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: sums over codebooks, and the two means. Detail: the same for each codebook. Raises `BadInput` where
        the output does not state its codebooks and seconds."""
        codes = codes_of(item)
        levels = [measure(book) for book in codes.codebooks]
        parts = {name: float(sum(level[name] for level in levels)) for name in _PARTS[:4]}
        parts |= {"seconds": codes.seconds, "answers": 1.0}
        parts |= {name: float(np.mean([level[name] for level in levels])) for name in ("usage", "perplexity")}
        detail = [{name: round(value, 4) for name, value in level.items()} for level in levels[:32]]
        return Value(parts=parts, detail={"codebooks": detail})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No bits and no seconds: a lost output does not change a rate; metrics of quality count it as a failure."""
        return dict.fromkeys(_PARTS, 0.0)


def measure(book: CodebookRecord) -> dict[str, float]:
    """Bits by the three counts, tokens, usage and perplexity of one codebook of one sample."""
    frames, size = book.frames, book.size
    pairs = np.array(book.histogram, dtype=np.float64).reshape(-1, 2)
    counts, codes = pairs[:, 0], pairs[:, 1]
    entropy = float(-np.sum(codes * counts / frames * np.log2(counts / frames))) if frames else 0.0
    spent = gammaln(frames + size / 2) - gammaln(size / 2) - np.sum(codes * (gammaln(counts + 0.5) - gammaln(0.5)))
    reachable = max(1, min(size, frames))
    return {
        "bits": frames * float(np.log2(size)),
        "adaptive_bits": float(spent / np.log(2)),
        "entropy_bits": frames * entropy,
        "tokens": float(frames),
        "usage": float(codes.sum()) / reachable,
        "perplexity": 2.0**entropy / reachable,
    }
