"""Speech recognition on recorded human speech."""

from __future__ import annotations

from harness import Task, register_task


@register_task
def asr() -> Task:
    return Task(
        name="asr",
        version=1,
        interface="SpeechRecognizer",
        dataset="asterisk-en",
        metrics=("wer[whisper-normalizer]", "cer[whisper-normalizer]"),
        primary="wer[whisper-normalizer]/wer",
        protocol="asr@1",
        description="Corpus word error rate of raw transcripts after the Whisper normaliser, with error counts",
    )
