"""Zero-shot text-to-speech in the manner of Seed-TTS-eval: intelligibility, likeness to the prompt, cleanness."""

from __future__ import annotations

import os

from speech_eval import Task, register_task

PROTOCOL = "seed-tts-eval@2024-06"


def _task(name: str, dataset: str, recognizer: str, what: str) -> Task:
    chinese = recognizer.startswith("funasr:")
    # The original's similarity wants weights that a user has to bring: naming them is asking for it.
    original = ("sim[wavlm-large-ecapa@unispeech]",) if os.environ.get("SPEECH_EVAL_WAVLM_ECAPA") else ()
    return Task(
        name=name,
        version=1,
        interface="SpeechSynthesizer",
        dataset=dataset,
        metrics=(
            f"wer[{PROTOCOL}]",
            "cer[whisper-normalizer]" if chinese else "wer[whisper-normalizer]",
            *original,
            "sim[cam++@zh-en-common]",
            "mos[dnsmos-p835]",
        ),
        primary=f"wer[{PROTOCOL}]/wer",
        protocol=PROTOCOL,
        description=f"Seed-TTS-eval, {what}: macro WER of a recognizer's transcript, speaker similarity, DNSMOS",
        recognizer=recognizer,
    )


@register_task
def seed_tts() -> Task:
    """The protocol on sentences and prompts that need no hub, heard by a recognizer that needs none."""
    return _task("seed-tts", "sentences-en", "whisper-base", "on bundled sentences")


@register_task
def seed_tts_en() -> Task:
    """The original's English subset (1088 sentences) and recognizer."""
    return _task("seed-tts-en", "seed-tts-en", "hf:openai/whisper-large-v3", "English subset")


@register_task
def seed_tts_zh() -> Task:
    """The original's Chinese subset (2020 sentences) and recognizer."""
    return _task("seed-tts-zh", "seed-tts-zh", "funasr:paraformer-zh", "Chinese subset")


@register_task
def seed_tts_hard() -> Task:
    """The original's 400 Chinese sentences that are hard to say."""
    return _task("seed-tts-hard", "seed-tts-hard", "funasr:paraformer-zh", "hard Chinese subset")
