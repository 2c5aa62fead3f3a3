"""Text normalisers: what is done to a reference and a hypothesis before they are compared."""

from harness.text.language import primary_language
from harness.text.seed_tts import mainland_chinese, seed_tts_normalize
from harness.text.whisper import whisper_basic, whisper_english, whisper_normalize

__all__ = [
    "mainland_chinese",
    "primary_language",
    "seed_tts_normalize",
    "whisper_basic",
    "whisper_english",
    "whisper_normalize",
]
