"""What a stranger's data state of the words of each channel is refused by its row."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from speech_eval.errors import BadInput
from speech_eval.records import Sample
from speech_eval.reference_models.conversation.duplex.channels import words_in


@pytest.mark.parametrize("row", [[0, "a", 0.0, 10**400], [0, "a", 10**400, 10**400], "x" * 10_000])
def test_a_row_that_cannot_be_is_named_in_one_short_line(row: object) -> None:
    with pytest.raises(BadInput, match="row 1 of 'words'") as refusal:
        words_in(Sample(id="d", text="a", metadata={"words": [[1, "b", 0.0, 1.0], row]}))
    assert len(str(refusal.value)) < 500
