"""Text normalizers, applied to reference and hypothesis before they are compared."""

from speech_eval.text.language import primary_language
from speech_eval.text.seed_tts import mainland_chinese, seed_tts_normalize
from speech_eval.text.whisper import whisper_basic, whisper_english, whisper_normalize

__all__ = [
    "mainland_chinese",
    "primary_language",
    "seed_tts_normalize",
    "whisper_basic",
    "whisper_english",
    "whisper_normalize",
]
