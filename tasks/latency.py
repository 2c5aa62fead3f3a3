"""Latency, one request at a time: how long until the first audible sample, and until the whole answer."""

from __future__ import annotations

from harness import Task, register_task


@register_task
def latency() -> Task:
    return Task(
        name="latency",
        version=1,
        interface=("SpeechSynthesizer", "SpeechRecognizer"),
        dataset={"SpeechSynthesizer": "sentences-en", "SpeechRecognizer": "asterisk-en"},
        metrics={
            "SpeechSynthesizer": ("ttfa[first-audible@1]", "rtf[answer@1]"),
            "SpeechRecognizer": ("rtf[answer@1]",),
        },
        primary={
            "SpeechSynthesizer": "ttfa[first-audible@1]/ttfa-p50",
            "SpeechRecognizer": "rtf[answer@1]/seconds-p50",
        },
        protocol="latency@1",
        description="Time to first byte, leading silence, time to first audible sample, real-time factor",
        mode="timed",
        options={"warm_up": 2},
    )
