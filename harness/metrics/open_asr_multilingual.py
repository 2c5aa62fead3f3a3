"""Word error rate of the multilingual track of the Open ASR Leaderboard."""

from __future__ import annotations

from speech_eval.errors import BadInput
from speech_eval.metrics.base import SUBSET, Value
from speech_eval.metrics.open_asr import OpenASRD, set_code
from speech_eval.metrics.wer import reference_text
from speech_eval.records import Sample
from speech_eval.text import primary_language
from speech_eval.text.open_asr_multilingual import open_asr_multilingual, pair_compounds


class OpenASRMultilingual(OpenASRD):
    """Epoch E, for languages other than English: numbers in words, compounds paired before the alignment."""

    id = "wer[open-asr-multilingual@E]"
    description = "Word error rate of the Open ASR Leaderboard's multilingual track, epoch E"
    source = "huggingface/open_asr_leaderboard, commit d1e99b2: normalizer/*.py; num2words 0.5.14, kaldialign 0.12.0"
    extra = "multilingual"

    def _value(self, sample: Sample, text: str) -> Value:
        language = primary_language(sample.language)
        if language == "en":
            raise BadInput(
                f"Sample {sample.id} is English, but {self.id} scores other languages.",
                "Use the metric wer[open-asr@E].",
            )
        normal = [open_asr_multilingual(side, language) for side in (reference_text(sample), text)]
        reference, hypothesis = pair_compounds(*normal)
        length, edits = self._align(reference, hypothesis)
        parts = {
            "errors": sum(edits.values()),
            **edits,
            "reference_words": float(length),
            "set": set_code(sample.metadata.get(SUBSET)),
        }
        return Value(parts, detail={"reference": reference, "hypothesis": hypothesis})
