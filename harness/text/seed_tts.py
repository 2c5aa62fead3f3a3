"""The text normalization of Seed-TTS-eval, with its quirks (BytedanceSpeech/seed-tts-eval, run_wer.py, 2024-06)."""

from __future__ import annotations

import string

from speech_eval.errors import require
from speech_eval.text.language import primary_language

# The characters of `zhon.hanzi.punctuation`, the same in zhon 2.0.2 and 2.1.1; U+3000 is the ideographic space.
HANZI_PUNCTUATION = (
    "·–—‘’‛“”„‟…‧\u3000、。〃〈〉《》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿﹏﹑﹔"
    "！＂＃＄％＆＇（）＊＋，－．／：；＜＝＞？＠［＼］＾＿｀｛｜｝～｟｠｡｢｣､"
)

_DELETE = str.maketrans("", "", (HANZI_PUNCTUATION + string.punctuation).replace("'", ""))


def seed_tts_normalize(text: str, language: str) -> str:
    """One side of a Seed-TTS-eval comparison.

    Punctuation is deleted without leaving a space (the ASCII apostrophe stays, the typographic one goes), each pair
    of spaces becomes one in a single pass (three spaces leave two), then Chinese (`zh`) is spread out with a space
    between every two characters and every other language is lower-cased. Numbers are left as they are written.
    """
    text = text.translate(_DELETE).replace("  ", " ")
    return " ".join(text) if primary_language(language) == "zh" else text.lower()


def mainland_chinese(text: str) -> str:
    """Mainland characters and phrases (`zhconv`, zh-cn), which the original applies to the hypothesis alone.

    Raises `MissingExtra` without the package, which is under the GPL and therefore in an extra of its own.
    """
    converted: str = require("zhconv", "zh").convert(text, "zh-cn")
    return converted
