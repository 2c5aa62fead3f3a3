"""Decode what was packed: recognize a sample of the training batches before anything is learned from them.

Batches are cut into documents, their labels turned back into codes, the codes into audio, and the audio into words. A
wrong offset, a wrong codec, audio beside the wrong text, a codec that garbles speech: all of these show here, before
the hours of training that they would waste.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, SpeechRecognizer, TranscriptionRequest
from speech_eval.errors import BadInput
from speech_eval.reference_models.data.packing import Packed, documents_of
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.tokenizer import SpeechTokenizer, learned
from speech_eval.reference_models.tts.training_config import CheckConfig
from speech_eval.text import compared_words


def recognize_packed(
    packed: Packed, codec: AudioCodec, texts: Mapping[str, str], config: CheckConfig, language: str
) -> dict[str, Any]:
    """Word error rate of the first `config.utterances` packed utterances, and what was recognized in each. `texts` are
    the transcripts by document."""
    import jiwer

    tokenizer = packed.tokenizer
    section = tokenizer.config.codec
    speech = SpeechCodec(codec, section.codebook_sizes, section.frame_rates)
    recognizer = modelspec.resolve(config.recognizer).build()
    if not isinstance(recognizer, SpeechRecognizer):
        raise BadInput(f"check.recognizer: {config.recognizer} is not a recognizer.", "Give one, such as whisper-base.")
    rows: list[dict[str, str]] = []
    for name, codes in _utterances(tokenizer, packed, config.utterances):
        audio = speech.decode(codes).resampled(recognizer.sample_rate)
        request = TranscriptionRequest(id=name, load_audio=lambda audio=audio: audio, language=language)  # type: ignore[misc]
        rows.append({"id": name, "text": texts[name], "heard": recognizer.transcribe([request])[0]})
    pairs = [compared_words(row["text"], row["heard"], language) for row in rows]
    said, heard = [said for said, _ in pairs], [heard for _, heard in pairs]
    found = jiwer.process_words(said, heard)
    words = found.hits + found.substitutions + found.deletions
    errors = found.substitutions + found.deletions + found.insertions
    return {"utterances": len(rows), "recognizer": config.recognizer, "wer": errors / max(words, 1), "heard": rows}


def refuse_garbage(report: Mapping[str, Any], config: CheckConfig, *, force: bool) -> None:
    """Raise `BadInput` if too little of the packed speech is recognized, unless `force`."""
    if report["wer"] <= config.max_wer or force:
        return
    worst = report["heard"][0]
    raise BadInput(
        f"The packed speech does not match its text: {report['wer']:.0%} of the words of {report['utterances']} "
        f"decoded utterances are wrong, {config.max_wer:.0%} are allowed. '{worst['text']}' is recognized as "
        f"'{worst['heard'][:200]}'.",
        "Listen to the codec: run the task codec-reconstruction on it. `train --force` trains all the same.",
    )


def _utterances(tokenizer: SpeechTokenizer, packed: Packed, wanted: int) -> list[tuple[str, list[Ints]]]:
    found: dict[str, list[Ints]] = {}
    for step in range(packed.epoch):
        for name, _, labels in documents_of(packed[step]):
            ids = learned(labels, tokenizer.streams)
            speech = len(ids) and (tokenizer.streams > 1 or ids[-1] == tokenizer.end)  # the others are text alone
            if speech and name not in found:
                found[name] = tokenizer.codes(ids)
            if len(found) == wanted:
                return list(found.items())
    return list(found.items())
