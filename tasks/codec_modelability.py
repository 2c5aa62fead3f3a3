"""How well a small language model learns a codec's codes, in bits per second of audio, and how its speech sounds."""

from __future__ import annotations

from speech_eval import Imported, Task, register_task
from speech_eval.tasks.languages import error_rates


def _task(layout: str, budget: str) -> Task:
    metric = f"modelability[{layout}@{budget}]"
    suffix = ("" if layout == "flattened" else f"-{layout}") + ("" if budget == "smoke-1" else f"-{budget[:-2]}")
    return Task(
        name=f"codec-modelability{suffix}",
        version=1,
        interface="AudioCodec",
        dataset="asterisk-en@held-out",
        metrics=(
            metric,
            "bitrate[measured@1]",
            "wer[whisper-normalizer@20250625]",
            "cer[whisper-normalizer@20250625]",
            "sim-reference[cam++@zh-en-common]",
            "mos[dnsmos-p835]",
        ),
        primary=f"{metric}/bits-per-second",
        protocol=f"codec-modelability@1[{layout}@{budget}]",
        description=f"Bits per second that a small LM needs for held-out codes ({layout}), and its speech from text",
        recognizer="whisper-base",
        by_language=error_rates,
        generate=Imported(
            "speech_eval.reference_models.modelability.strategy:Modelability", {"layout": layout, "budget": budget}
        ),
    )


@register_task
def codec_modelability() -> Task:
    """All codebooks in one stream, coarse before fine: any codec whose rates nest."""
    return _task("flattened", "smoke-1")


@register_task
def codec_modelability_delay() -> Task:
    """One stream per codebook, each one step later than the one before: codecs with one frame rate."""
    return _task("delay", "smoke-1")


@register_task
def codec_modelability_h100() -> Task:
    """The large budget. Its numbers are not comparable with those of the small one."""
    return _task("flattened", "h100-1")
