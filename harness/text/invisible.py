"""Characters that nobody sees: byte order marks, zero-width and bidirectional controls, soft hyphens."""

from __future__ import annotations

import re
import unicodedata

ZERO_WIDTH_SPACE, NON_JOINER, JOINER = "\u200b", "\u200c", "\u200d"

# Default-ignorable characters of other categories than Cf: grapheme joiner, fillers of Hangul, inherent vowels of
# Khmer, variation selectors of Mongolian and of all scripts.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def without_invisible(text: str, keep: str = "") -> str:
    """`text` without control, format (category Cf) and default-ignorable characters, except white space and `keep`."""
    text = _IGNORABLE.sub("", text)
    return "".join(c for c in text if c in keep or c.isspace() or unicodedata.category(c) not in ("Cf", "Cc"))
