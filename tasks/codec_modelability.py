"""How well a small language model learns a codec's codes, in bits per second of audio."""

from __future__ import annotations

from speech_eval import Imported, Task, register_task


def _task(layout: str, budget: str) -> Task:
    metric = f"modelability[{layout}@{budget}]"
    suffix = ("" if layout == "flattened" else f"-{layout}") + ("" if budget == "smoke-2" else f"-{budget[:-2]}")
    return Task(
        name=f"codec-modelability{suffix}",
        version=2,
        interface="AudioCodec",
        dataset="asterisk-en@held-out",
        metrics=(metric, "bitrate[measured@1]"),
        primary=f"{metric}/bits-per-second",
        protocol=f"codec-modelability@2[{layout}@{budget}]",
        description=f"Bits per second that a small LM needs for held-out codes ({layout}), beside counts of codes",
        generate=Imported(
            "speech_eval.reference_models.modelability.strategy:Modelability", {"layout": layout, "budget": budget}
        ),
    )


@register_task
def codec_modelability() -> Task:
    """All codebooks in one stream, coarse before fine: any codec whose rates nest."""
    return _task("flattened", "smoke-2")


@register_task
def codec_modelability_delay() -> Task:
    """One stream per codebook, each one step later than the one before: codecs with one frame rate."""
    return _task("delay", "smoke-2")


@register_task
def codec_modelability_h100() -> Task:
    """The large budget, on 100 hours that the option `train` names. Its numbers are not comparable with those of the
    small one."""
    return _task("flattened", "h100-2")
