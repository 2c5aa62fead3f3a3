"""Word-level difference of a reference and a hypothesis, for display; metrics compute their own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# scripts without spaces between words are compared character by character
TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f]|[^\s\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+"
)


Kind = Literal["equal", "substitute", "insert", "delete"]
_KINDS: dict[str, Kind] = {"equal": "equal", "replace": "substitute", "insert": "insert", "delete": "delete"}


@dataclass(frozen=True)
class Piece:
    """Consecutive words of one kind: `reference` as written in the data, `hypothesis` as heard."""

    kind: Kind
    reference: str = ""
    hypothesis: str = ""


def difference(reference: str, hypothesis: str) -> list[Piece]:
    """The shortest edit from reference to hypothesis, as pieces in reading order."""
    from rapidfuzz.distance import Levenshtein

    left, right = TOKEN.findall(reference), TOKEN.findall(hypothesis)
    return [
        Piece(
            _KINDS[step.tag],
            " ".join(left[step.src_start : step.src_end]),
            " ".join(right[step.dest_start : step.dest_end]),
        )
        for step in Levenshtein.opcodes(left, right)
    ]


def errors(pieces: list[Piece]) -> int:
    """The number of words that were substituted, deleted or inserted."""
    return sum(max(len(p.reference.split()), len(p.hypothesis.split())) for p in pieces if p.kind != "equal")


def rate(reference: str, pieces: list[Piece]) -> float:
    """Errors over reference words; errors alone where the reference has no word."""
    return errors(pieces) / max(1, len(TOKEN.findall(reference)))
