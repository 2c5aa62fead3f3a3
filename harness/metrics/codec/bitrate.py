"""What a codec's codes cost: bits, tokens, and how much of the codebooks they use. Measured, never typed in."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Value
from speech_eval.metrics.codec.pairs import codes_of
from speech_eval.records import CodebookRecord, Sample

_PARTS = ("bits", "adaptive_bits", "entropy_bits", "tokens", "seconds", "usage", "perplexity", "answers")


class Bitrate(Metric):
    """Bits a second by three counts, all over the seconds of the recordings.

    `bitrate` sends every code with log2(size) bits. `entropy-bitrate` is what an adaptive arithmetic coder of order
    zero (Krichevsky and Trofimov's estimator, one model a codebook, started afresh with every sample) spends in fact.
    `histogram-bitrate` is the entropy of the sample's own histogram, which nobody tells the decoder: a lower bound, and
    for short samples far below. Usage and perplexity are also of one sample, averaged over codebooks, and relative to
    the most a sample of its length can reach, so they compare codecs on the same recordings only.
    """

    id = "bitrate[measured@1]"
    description = "Bits and tokens a second as sent and after entropy coding; usage and perplexity of the codebooks"
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
        """Nothing sent over no time: a lost output has no rate, and its quality is what it is punished by."""
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
