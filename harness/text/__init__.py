"""Text normalizers, applied to reference and hypothesis before they are compared, and names of languages."""

from speech_eval.text.compared import compared_letters, compared_words
from speech_eval.text.invisible import without_invisible
from speech_eval.text.language import english_name, language_name, language_tag, primary_language, separates_words
from speech_eval.text.seed_tts import mainland_chinese, seed_tts_normalize
from speech_eval.text.unicode import unicode_letters, unicode_words
from speech_eval.text.whisper import whisper_basic, whisper_english, whisper_normalize

__all__ = [
    "compared_letters",
    "compared_words",
    "english_name",
    "language_name",
    "language_tag",
    "mainland_chinese",
    "primary_language",
    "seed_tts_normalize",
    "separates_words",
    "unicode_letters",
    "unicode_words",
    "whisper_basic",
    "whisper_english",
    "whisper_normalize",
    "without_invisible",
]
