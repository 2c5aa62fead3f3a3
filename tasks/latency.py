"""Latency: how long until the first audible sample, whether playback holds, and how long until the whole answer."""

from __future__ import annotations

from speech_eval import Task, register_task

METRICS = {
    "SpeechSynthesizer": (
        "ttfa[first-audible@1]",
        "playback[buffer-100ms@1]",
        "rtf[answer@1]",
        "throughput[closed-loop@1]",
    ),
    "SpeechRecognizer": ("response[first-text@1]", "rtf[answer@1]", "throughput[closed-loop@1]"),
    "AudioLanguageModel": ("response[first-text@1]", "ttfa[first-audible@1]", "playback[buffer-100ms@1]"),
    "AudioCodec": (
        "ttfa[first-audible@1]",
        "codec-time[stream@1]",
        "playback[buffer-100ms@1]",
        "throughput[closed-loop@1]",
    ),
}
DATASETS = {
    "SpeechSynthesizer": "sentences-en",
    "SpeechRecognizer": "asterisk-en",
    "AudioLanguageModel": "asterisk-en",
    "AudioCodec": "asterisk-en",
}


@register_task
def latency() -> Task:
    """One request at a time."""
    return Task(
        name="latency",
        version=2,
        interface=tuple(METRICS),
        dataset=DATASETS,
        metrics=METRICS,
        primary={
            "SpeechSynthesizer": "ttfa[first-audible@1]/ttfa-p50",
            "SpeechRecognizer": "response[first-text@1]/response-p50",
            "AudioLanguageModel": "response[first-text@1]/response-p50",
            "AudioCodec": "ttfa[first-audible@1]/ttfb-p50",
        },
        protocol="latency@2",
        description="Time to first byte, first audible sample and whole answer; gaps and underruns of the stream",
        mode="timed",
        options={"warm_up": 2},
    )


@register_task
def latency_load() -> Task:
    """The same with 1, 2, 4 and 8 requests under way at once, each level a result of its own."""
    interfaces = ("SpeechSynthesizer", "SpeechRecognizer", "AudioLanguageModel")
    return Task(
        name="latency-load",
        version=1,
        interface=interfaces,
        dataset={name: DATASETS[name] for name in interfaces},
        metrics={
            "SpeechSynthesizer": METRICS["SpeechSynthesizer"],
            "SpeechRecognizer": METRICS["SpeechRecognizer"],
            "AudioLanguageModel": (*METRICS["AudioLanguageModel"], "throughput[closed-loop@1]"),
        },
        primary="throughput[closed-loop@1]/throughput",
        protocol="latency-load@1",
        description="Latency and throughput with 1, 2, 4 and 8 requests under way at once",
        mode="timed",
        sweep="concurrency",
        options={"warm_up": 2},
    )
