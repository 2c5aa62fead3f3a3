"""Recognition of whole recordings, up to hours long. They are not bundled: give them with `--data`."""

from __future__ import annotations

from speech_eval import Task, register_task


@register_task
def open_asr_long() -> Task:
    """The rules of the leaderboard's present epoch: each recording is transcribed and scored whole."""
    return Task(
        name="open-asr-long",
        version=1,
        interface="SpeechRecognizer",
        dataset="open-asr-long",
        metrics=("wer[open-asr@E]", "rtfx[open-asr]"),
        primary="wer[open-asr@E]/composite",
        protocol="open-asr-long@E",
        description="Open ASR Leaderboard, long-form track: Earnings21, Earnings22 and CORAAL, whole recordings",
    )
