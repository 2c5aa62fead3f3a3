"""Decode what was packed: hear a sample of the training batches before anything is learned from them.

Batches are cut into documents, their labels turned back into codes, the codes into sound, and the sound into words. A
wrong offset, a wrong codec, audio beside the wrong text, a codec that garbles speech: all of it ends here, before the
hours that it would waste.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, SpeechRecognizer, TranscriptionRequest
from speech_eval.errors import BadInput
from speech_eval.reference_models.data.packing import Packed, documents_of
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.tts.building import TokenLM
from speech_eval.reference_models.tts.model import IGNORE
from speech_eval.reference_models.tts.training_config import CheckConfig
from speech_eval.text import whisper_normalize


def heard_from(
    model: TokenLM, packed: Packed, codec: AudioCodec, texts: Mapping[str, str], config: CheckConfig, language: str
) -> dict[str, Any]:
    """Word error rate of the first `config.utterances` packed utterances, and what was heard in each. `texts` are the
    transcripts by document."""
    import jiwer

    section = model.config.codec
    speaker = SpeechCodec(codec, section.codebook_sizes, section.frame_rates)
    ear = modelspec.resolve(config.recognizer).build()
    if not isinstance(ear, SpeechRecognizer):
        raise BadInput(f"check.recognizer: {config.recognizer} is no recognizer.", "Name one, such as whisper-base.")
    rows: list[dict[str, str]] = []
    for name, codes in _utterances(model, packed, config.utterances):
        audio = speaker.decode(codes).resampled(ear.sample_rate)
        request = TranscriptionRequest(id=name, load_audio=lambda audio=audio: audio, language=language)  # type: ignore[misc]
        rows.append({"id": name, "text": texts[name], "heard": ear.transcribe([request])[0]})
    said, heard = ([whisper_normalize(row[key], language) for row in rows] for key in ("text", "heard"))
    found = jiwer.process_words(said, heard)
    words = found.hits + found.substitutions + found.deletions
    errors = found.substitutions + found.deletions + found.insertions
    return {"utterances": len(rows), "recognizer": config.recognizer, "wer": errors / max(words, 1), "heard": rows}


def refuse_garbage(report: Mapping[str, Any], config: CheckConfig, *, force: bool) -> None:
    """Raise `BadInput` where too little of the packed speech is understood, unless `force`."""
    if report["wer"] <= config.max_wer or force:
        return
    worst = report["heard"][0]
    raise BadInput(
        f"What was packed is not what was said: {report['wer']:.0%} of the words of {report['utterances']} decoded "
        f"utterances are wrong, {config.max_wer:.0%} are allowed. '{worst['text']}' is heard as "
        f"'{worst['heard'][:200]}'.",
        "Listen to the codec: run codec-reconstruction on it. --force trains all the same.",
    )


def _utterances(model: TokenLM, packed: Packed, wanted: int) -> list[tuple[str, list[Ints]]]:
    found: dict[str, list[Ints]] = {}
    for step in range(packed.epoch):
        for name, _, labels in documents_of(packed[step]):
            codes = _codes(model, labels)
            if codes and name not in found:
                found[name] = codes
            if len(found) == wanted:
                return list(found.items())
    return list(found.items())


def _codes(model: TokenLM, labels: Ints) -> list[Ints]:
    """The codes that a document's labels stand for; none for a document of text alone."""
    learned = labels[(labels if model.streams == 1 else labels[:, 0]) != IGNORE]
    if model.streams == 1:
        return model.codes(learned) if len(learned) and learned[-1] == model.end else []
    return model.codes(np.where(learned == IGNORE, 0, learned))
