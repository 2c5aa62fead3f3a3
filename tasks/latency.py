"""Latency: how long until the first audible sample, whether playback holds, and how long until the whole answer."""

from __future__ import annotations

from dataclasses import replace

from speech_eval import Task, Timed, Variant, register_task

_TTFA, _PLAYBACK, _RTF = "ttfa[first-audible@2]", "playback[buffer-100ms@2]", "rtf[answer@1]"
_RESPONSE, _THROUGHPUT = "response[first-text@1]", "throughput[closed-loop@1]"
VARIANTS = {
    "SpeechSynthesizer": Variant("sentences-en", (_TTFA, _PLAYBACK, _RTF, _THROUGHPUT), f"{_TTFA}/ttfa-p50"),
    "SpeechRecognizer": Variant("asterisk-en", (_RESPONSE, _RTF, _THROUGHPUT), f"{_RESPONSE}/response-p50"),
    "AudioLanguageModel": Variant("asterisk-en", (_RESPONSE, _TTFA, _PLAYBACK), f"{_RESPONSE}/response-p50"),
    "AudioCodec": Variant("asterisk-en", (_TTFA, "codec-time[stream@1]", _PLAYBACK, _THROUGHPUT), f"{_TTFA}/ttfb-p50"),
}


def _under_load(variant: Variant) -> Variant:
    metrics = tuple(dict.fromkeys((*variant.metrics, _THROUGHPUT)))
    return replace(variant, metrics=metrics, primary=f"{_THROUGHPUT}/throughput")


@register_task
def latency() -> Task:
    """One request at a time."""
    return Task(
        name="latency",
        version=2,
        variants=VARIANTS,
        protocol="latency@2",
        description="Time to first byte, first audible sample and whole answer; gaps and underruns of the stream",
        generate=Timed(warm_up=2),
    )


@register_task
def latency_load() -> Task:
    """The same with 1, 2, 4 and 8 requests under way at once, each level a result of its own."""
    return Task(
        name="latency-load",
        version=1,
        variants={name: _under_load(VARIANTS[name]) for name in VARIANTS if name != "AudioCodec"},
        protocol="latency-load@1",
        description="Latency and throughput with 1, 2, 4 and 8 requests under way at once",
        generate=Timed(warm_up=2, concurrency=(1, 2, 4, 8)),
    )
