"""Which split of several is read: to evaluate, the test split, else a validation split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

# In order of preference; a name may go on after a delimiter: `test-clean`, `test_other`.
NAMES = ("test", "eval", "evaluation", "validation", "valid", "val", "dev", "held-out", "train", "training")


@dataclass
class Preference:
    """Splits to read instead, in order; `there` are the splits of the data, where it has several."""

    names: tuple[str, ...]
    there: tuple[str, ...] = field(default=())


_PREFERENCE: ContextVar[Preference | None] = ContextVar("preference", default=None)


@contextmanager
def preferring(*names: str) -> Iterator[Preference]:
    """Within it, data of several splits is read by this order of preference, then by `NAMES`."""
    preference = Preference(names)
    token = _PREFERENCE.set(preference)
    try:
        yield preference
    finally:
        _PREFERENCE.reset(token)


def split_of(name: str) -> str:
    """The split that the name of a shard states, such as `test` of `test-00000-of-00002`; empty for none."""
    base = re.sub(r"-\d{5}-of-\d{5}.*$", "", name)
    return base if base != name or is_split(base) else ""


def is_split(name: str) -> bool:
    return _first(name) in NAMES or name.lower() in NAMES


def chosen(splits: Iterable[str]) -> tuple[str, str]:
    """The split to read, and `split 'test' of test, train` where there are several."""
    preference = _PREFERENCE.get()
    order = (*(preference.names if preference else ()), *NAMES)
    found = sorted(splits, key=lambda name: (_rank(name, order), name))
    if len(found) == 1:
        return found[0], ""
    if preference:
        preference.there = tuple(found)
    return found[0], f"split '{found[0]}' of {', '.join(found)}"


def _first(name: str) -> str:
    return re.split(r"[-_.]", name.lower())[0]


def _rank(name: str, order: tuple[str, ...]) -> int:
    return next((rank for rank, known in enumerate(order) if known in (name.lower(), _first(name))), len(order))
