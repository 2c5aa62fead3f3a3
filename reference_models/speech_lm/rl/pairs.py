"""Preference pairs: the best and the worst rollouts of a text, and a file that keeps them.

FILE.jsonl    first what they were drawn from and measured by, then one line per text: its pairs, their rewards
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from speech_eval.cache import make_folder, write_atomically
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.interface import Generation, Tokenizer
from speech_eval.reference_models.speech_lm.rl.rollout import Line, Rollout
from speech_eval.reference_models.speech_lm.sampling import longest_run
from speech_eval.text.files import parse_json

PAIRS = "pairs.jsonl"  # in a checkpoint directory
_KEYS = {"id", "prompt", "pairs"}  # of a text
_SAME = 1e-6  # rewards that differ by less count as equal

Pair = tuple[Generation, Generation]  # the better one, the worse one


def ranked_pairs(group: Sequence[Rollout], most: int = 1) -> list[tuple[Rollout, Rollout]]:
    """The best rollout with the worst, the second best with the second worst and so on, up to `most` pairs of those
    that ended by themselves; none of equal rewards."""
    ended = sorted((item for item in group if item.generation.stopped), key=lambda item: item.reward.value)
    pairs = list(zip(reversed(ended), ended, strict=True))[: min(most, len(ended) // 2)]
    return [pair for pair in pairs if pair[0].reward.value - pair[1].reward.value > _SAME]


def pairs_of(group: Sequence[Rollout], most: int = 1) -> list[Pair]:
    """What was said in the pairs of `ranked_pairs`."""
    return [(best.generation, worst.generation) for best, worst in ranked_pairs(group, most)]


class Pairs:
    """The pairs in a file. Raises `BadInput` for an invalid line."""

    def __init__(self, file: Path, tokenizer: Tokenizer) -> None:
        self.file, self.tokenizer = file, tokenizer

    def read(self) -> list[list[Pair]]:
        """The pairs of each text, possibly none."""
        rows = self._rows()[1:]
        return [
            [(self._said(row, pair["best"]), self._said(row, pair["worst"])) for pair in row["pairs"]] for row in rows
        ]

    @contextmanager
    def writing(self, plan: Mapping[str, Any]) -> Iterator[_Writing]:
        """Opens the file to add texts to those it has, to none if they were drawn by another `plan`."""
        rows = self._rows() if self.file.is_file() else []
        rows = rows if rows and rows[0].get("plan") == plan else [{"plan": dict(plan)}]
        make_folder(self.file.parent)
        write_atomically(self.file, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
        with self.file.open("a", encoding="utf-8") as stream:
            yield _Writing(stream, {row["id"] for row in rows[1:]})

    def _rows(self) -> list[dict[str, Any]]:
        """The plan, then the texts. A last line that was interrupted is left out."""
        rows = []
        for number, line in enumerate(self.file.read_text("utf-8").splitlines(keepends=True), 1):
            if not line.endswith("\n"):
                break
            try:
                row = parse_json(line)
                if not isinstance(row, dict) or not row.keys() >= ({"plan"} if number == 1 else _KEYS):
                    raise ValueError("not as it was written")
            except ValueError as error:
                raise BadInput(
                    f"{self.file}, line {number}: {error}.", "Remove the file; it is written again."
                ) from error
            rows.append(row)
        return rows

    def _said(self, row: Mapping[str, Any], ids: Sequence[int]) -> Generation:
        said = np.array(ids, dtype=np.int64)
        codes = self.tokenizer.codes(said)
        return Generation(np.array(row["prompt"], dtype=np.int64), said, codes, True, longest_run(codes))


class _Writing:
    """A file of pairs that is open to be added to; `in` says whether it has a text already."""

    def __init__(self, stream: TextIO, ids: set[str]) -> None:
        self._stream, self._ids = stream, ids

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def add(self, line: Line, group: Sequence[Rollout], most: int) -> None:
        pairs = [
            {
                "best": best.generation.ids.tolist(),
                "worst": worst.generation.ids.tolist(),
                "rewards": [round(best.reward.value, 6), round(worst.reward.value, 6)],
            }
            for best, worst in ranked_pairs(group, most)
        ]
        row = {"id": line.id, "text": line.text, "prompt": group[0].generation.prompt.tolist(), "pairs": pairs}
        self._stream.write(f"{json.dumps(row)}\n")
        self._stream.flush()
