"""Zero-shot text-to-speech in the manner of Seed-TTS-eval: intelligibility, likeness to the prompt, cleanness.

The original's speaker similarity needs weights that a user has to bring, so it is left to
`speech-eval score RUN --metrics 'sim[wavlm-large-ecapa@unispeech]'`, which adds it to a run.
"""

from __future__ import annotations

from speech_eval import Task, register_task
from speech_eval.tasks.languages import error_rates

PROTOCOL = "seed-tts-eval@2024-06"


def _task(name: str, dataset: str, recognizer: str, what: str) -> Task:
    chinese = recognizer.startswith("funasr:")
    return Task(
        name=name,
        version=1,
        interface="SpeechSynthesizer",
        dataset=dataset,
        metrics=(
            f"wer[{PROTOCOL}]",
            "cer[unicode@1]" if chinese else "wer[whisper-normalizer@20250625]",
            "sim[cam++@zh-en-common]",
            "mos[dnsmos-p835]",
        ),
        primary=f"wer[{PROTOCOL}]/wer",
        protocol=PROTOCOL,
        description=f"Seed-TTS-eval, {what}: macro WER of a recognizer's transcript, speaker similarity, DNSMOS",
        recognizer=recognizer,
        by_language=error_rates,
    )


@register_task
def seed_tts() -> Task:
    """The protocol on bundled sentences, with a recognizer that needs no hub."""
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
