"""Which split of several is evaluated: the test split, else a validation split."""

from __future__ import annotations

import re
from collections.abc import Iterable

# In order of preference; a name may go on after a delimiter: `test-clean`, `test_other`.
NAMES = ("test", "eval", "evaluation", "validation", "valid", "val", "dev", "held-out", "train", "training")


def split_of(name: str) -> str:
    """The split that the name of a shard states, such as `test` of `test-00000-of-00002`; empty for none."""
    base = re.sub(r"-\d{5}-of-\d{5}.*$", "", name)
    return base if base != name or is_split(base) else ""


def is_split(name: str) -> bool:
    return re.split(r"[-_.]", name.lower())[0] in NAMES or name.lower() in NAMES


def chosen(splits: Iterable[str]) -> tuple[str, str]:
    """The split to evaluate, and `split 'test' of test, train` where there are several."""
    found = sorted(splits, key=lambda name: (_rank(name), name))
    return found[0], f"split '{found[0]}' of {', '.join(found)}" if len(found) > 1 else ""


def _rank(name: str) -> int:
    first = re.split(r"[-_.]", name.lower())[0]
    return next((rank for rank, known in enumerate(NAMES) if known in (name.lower(), first)), len(NAMES))
