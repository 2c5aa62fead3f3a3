"""Speech recognition on recorded human speech."""

from __future__ import annotations

from speech_eval import Task, register_task
from speech_eval.tasks.languages import recognition


@register_task
def asr() -> Task:
    """Word error rate after Whisper's English normalizer; in other languages the rates of `unicode@1`, with characters
    first where words are not separated by spaces."""
    return Task(
        name="asr",
        version=2,
        interface="SpeechRecognizer",
        dataset="asterisk-en",
        metrics=("wer[whisper-normalizer@20250625]", "cer[whisper-normalizer@20250625]"),
        primary="wer[whisper-normalizer@20250625]/wer",
        protocol="asr@2",
        description="Corpus error rate of raw transcripts, by words or, where writing has no spaces, by characters",
        by_language=recognition,
    )


@register_task
def open_asr() -> Task:
    """All epochs from the same raw transcripts; the sets are those of the last."""
    return Task(
        name="open-asr",
        version=1,
        interface="SpeechRecognizer",
        dataset="open-asr",
        metrics=(*(f"wer[open-asr@{epoch}]" for epoch in ("E", "D", "C", "B-31c5b6f", "A")), "rtfx[open-asr]"),
        primary="wer[open-asr@E]/composite",
        protocol="open-asr@E",
        description="Open ASR Leaderboard: seven English sets, one average, each epoch's rules",
    )


@register_task
def open_asr_multilingual() -> Task:
    return Task(
        name="open-asr-multilingual",
        version=1,
        interface="SpeechRecognizer",
        dataset="open-asr-multilingual",
        metrics=("wer[open-asr-multilingual@E]", "cer[whisper-normalizer@20250625]", "rtfx[open-asr]"),
        primary="wer[open-asr-multilingual@E]/composite",
        protocol="open-asr-multilingual@E",
        description="Open ASR Leaderboard, multilingual track: German, French, Italian, Spanish, Portuguese",
    )
