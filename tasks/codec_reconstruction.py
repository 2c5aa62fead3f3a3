"""What a codec keeps of speech, and at which bitrate."""

from __future__ import annotations

from dataclasses import replace

from speech_eval import DepthSweep, Task, register_task
from speech_eval.tasks.languages import error_rates

AXES = {
    "bitrate": ("bitrate[measured@1]", "codebook[corpus@1]"),
    "signal": (
        "pesq-wb[p862.2]",
        "pesq-nb[p862@8k]",
        "mel-distance[multi-resolution]",
        "stft-distance[multi-resolution]",
        "mcd[mel-13@1]",
        "si-sdr[torchmetrics-definition]",
    ),
    "intelligibility": ("stoi[pystoi]", "estoi[pystoi]"),
    "words": ("wer[whisper-normalizer@20250625]", "wer-original[whisper-normalizer@20250625]"),
    "voice": ("sim-reference[cam++@zh-en-common]", "f0[yin@1]"),
    "naturalness": ("mos[dnsmos-p835]", "mos[distillmos@7]"),
}
METRICS = tuple(metric for metrics in AXES.values() for metric in metrics)


@register_task
def codec_reconstruction() -> Task:
    """Signal, intelligibility, words, voice (the speaker and the melody) and naturalness are reported separately,
    beside the bitrate: no single one of them ranks codecs. STOI only sorts samples: it is bounded, has no trained part,
    and exists for every clip of 0.4 s or more."""
    return Task(
        name="codec-reconstruction",
        version=1,
        interface="AudioCodec",
        dataset="asterisk-en",
        metrics=METRICS,
        primary="stoi[pystoi]/stoi",
        protocol="codec-reconstruction@1",
        description="Recorded speech through a codec and back: what is kept, axis by axis, at which measured bitrate",
        recognizer="whisper-base",
        by_language=error_rates,
        axes=AXES,
    )


@register_task
def codec_depth() -> Task:
    """How quality grows with bits: the same numbers after 1, 2, 4, … and all of the quantizer's levels, from one
    encoding of each recording. The last point is `codec-reconstruction` itself."""
    return replace(
        codec_reconstruction(),
        name="codec-depth",
        protocol="codec-depth@1",
        description="A codec's first 1, 2, 4, … all quantizer levels, encoded once and decoded at each depth",
        generate=DepthSweep(),
    )
