"""Language codes."""

from __future__ import annotations

import re


def primary_language(code: str) -> str:
    """The language of a code without region or script, in lower case: `en` of `en-US` and `en_GB`."""
    return re.split(r"[-_]", code.lower())[0]
