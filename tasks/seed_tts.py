"""Zero-shot text-to-speech in the manner of Seed-TTS-eval: intelligibility, likeness to the prompt, cleanness."""

from __future__ import annotations

from harness import Task, register_task


@register_task
def seed_tts() -> Task:
    return Task(
        name="seed-tts",
        version=1,
        interface="SpeechSynthesizer",
        dataset="sentences-en",
        metrics=(
            "wer[seed-tts-eval@2024-06]",
            "wer[whisper-normalizer]",
            "sim[cam++@zh-en-common]",
            "mos[dnsmos-p835]",
        ),
        primary="wer[seed-tts-eval@2024-06]/wer",
        protocol="seed-tts-eval@2024-06",
        description="Seed-TTS-eval's macro WER of a recogniser's transcript, speaker similarity to the prompt, DNSMOS",
        recogniser="whisper-base",
    )
