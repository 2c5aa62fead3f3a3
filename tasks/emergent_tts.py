"""EmergentTTS-Eval: hard texts, read aloud beside a baseline voice, before a judge that hears."""

from __future__ import annotations

from speech_eval import Task, register_task

_WINS = "win-rate[emergent-tts@5764ace]"


@register_task
def emergent_tts() -> Task:
    """The judge is any model that takes audio, `--judge SPEC`."""
    return Task(
        name="emergent-tts",
        version=1,
        interface="SpeechSynthesizer",
        dataset="emergent-tts",
        metrics=(_WINS, "wer[whisper-normalizer@20250625]"),
        primary=f"{_WINS}/win rate",
        protocol="emergent-tts@5764ace",
        recognizer="whisper-base",
        description="EmergentTTS-Eval: win rate over a baseline voice by a judge that hears, in six categories",
    )
