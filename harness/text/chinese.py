"""Traditional and simplified Chinese characters."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


def simplified(text: str) -> str:
    """`text` with every traditional character as the simplified one, character by character.

    One character always becomes the same one (`乾` is `干` also in `乾坤`), so fold both sides of a comparison. Words
    that differ between regions (`計程車`, `出租车`) stay different.
    """
    return text.translate(_table())


@cache
def _table() -> dict[int, int]:
    data = files("speech_eval.text").joinpath("data/simplified_chinese.json").read_text(encoding="utf-8")
    columns: dict[str, str] = json.loads(data)
    return str.maketrans(columns["traditional"], columns["simplified"])
