"""Speaker similarity of the output to its own recording."""

from __future__ import annotations

from dataclasses import replace

from speech_eval.metrics.base import ScoringItem, Value
from speech_eval.metrics.similarity import CAMPlusPlusSimilarity


class CAMPlusPlusReferenceSimilarity(CAMPlusPlusSimilarity):
    """`sim[cam++@zh-en-common]` with the sample's recording in place of the voice prompt."""

    id = "sim-reference[cam++@zh-en-common]"
    description = "Cosine similarity of CAM++ speaker embeddings of the output and the recording it was made from"
    needs = frozenset({"audio", "reference"})

    def score(self, item: ScoringItem) -> Value:
        return super().score(replace(item, load_prompt=item.load_reference))
