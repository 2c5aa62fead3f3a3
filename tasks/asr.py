"""Speech recognition on recorded human speech."""

from __future__ import annotations

from speech_eval import Task, register_task


@register_task
def asr() -> Task:
    return Task(
        name="asr",
        version=1,
        interface="SpeechRecognizer",
        dataset="asterisk-en",
        metrics=("wer[whisper-normalizer@20250625]", "cer[whisper-normalizer@20250625]"),
        primary="wer[whisper-normalizer@20250625]/wer",
        protocol="asr@1",
        description="Corpus word error rate of raw transcripts after the Whisper normalizer, with error counts",
    )


@register_task
def open_asr() -> Task:
    """All epochs from the same raw transcripts; the sets are those of the last."""
    return Task(
        name="open-asr",
        version=1,
        interface="SpeechRecognizer",
        dataset="open-asr",
        metrics=(*(f"wer[open-asr@{epoch}]" for epoch in "EDCBA"), "rtfx[open-asr]"),
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
