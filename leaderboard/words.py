"""Word-level difference of a reference and a hypothesis, for reading: the numbers come from the metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

# scripts that put no space between words are compared character by character
_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]|[^\s\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+"
)


Kind = Literal["equal", "substitute", "insert", "delete"]
_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Piece:
    """A run of words of one kind; `reference` is what was meant, `hypothesis` what was heard."""

    kind: Kind
    reference: str = ""
    hypothesis: str = ""


def difference(reference: str, hypothesis: str) -> list[Piece]:
    """The least edit from reference to hypothesis as pieces in reading order."""
    import jiwer

    left, right = _TOKEN.findall(reference), _TOKEN.findall(hypothesis)
    if not left or not right:
        kept = [Piece("delete", " ".join(left))] if left else []
        return kept + ([Piece("insert", "", " ".join(right))] if right else [])
    output = jiwer.process_words(" ".join(left), " ".join(right))
    return [
        Piece(
            next(kind for kind in _KINDS if kind == chunk.type),
            " ".join(left[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(right[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in output.alignments[0]
    ]


def errors(pieces: list[Piece]) -> int:
    """How many words were substituted, deleted or inserted."""
    return sum(max(len(p.reference.split()), len(p.hypothesis.split())) for p in pieces if p.kind != "equal")


def rate(reference: str, pieces: list[Piece]) -> float:
    """Errors over reference words; errors alone where the reference has no word."""
    return errors(pieces) / max(1, len(_TOKEN.findall(reference)))
