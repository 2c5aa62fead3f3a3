"""What a codec keeps of speech, and what it pays for it."""

from __future__ import annotations

from harness import Task, register_task


@register_task
def codec_reconstruction() -> Task:
    """Quality, intelligibility, words, voice, melody and waveform stand apart, beside the bitrate: no one of them ranks
    codecs. STOI only sorts: it is bounded, has no trained part, and every clip of 0.4 s has one."""
    return Task(
        name="codec-reconstruction",
        version=1,
        interface="AudioCodec",
        dataset="asterisk-en",
        metrics=(
            "bitrate[measured@1]",
            "stoi[pystoi]",
            "estoi[pystoi]",
            "pesq-wb[p862.2]",
            "pesq-nb[p862]",
            "mel-distance[multi-resolution]",
            "stft-distance[multi-resolution]",
            "mcd[mel-13@1]",
            "si-sdr[torchmetrics-definition]",
            "f0[yin@1]",
            "sim-reference[cam++@zh-en-common]",
            "mos[dnsmos-p835]",
            "wer[whisper-normalizer]",
        ),
        primary="stoi[pystoi]/stoi",
        protocol="codec-reconstruction@1",
        description="Recorded speech through a codec and back: what is kept, axis by axis, at which measured bitrate",
        recogniser="whisper-base",
    )
