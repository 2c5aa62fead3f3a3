"""Checks of adapter options: each returns the checked value, or raises `BadInput` naming the option and its range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from speech_eval.errors import BadInput


def whole(name: str, value: object, low: int = 1, high: int | None = None) -> int:
    """`value` if it is a whole number from `low` to `high`, both included."""
    valid = isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
    if not valid:
        raise _refusal(name, value, f"a whole number {_range(low, high)}", f"{max(low, 1)}")
    assert isinstance(value, int)
    return value


def number(
    name: str, value: object, low: float = 0.0, high: float | None = None, *, above: bool = False, unit: str = ""
) -> float:
    """`value` as a float if it is a finite number from `low` to `high`; with `above`, `low` itself is excluded."""
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    valid = real and (value > low if above else value >= low) and (high is None or value <= high)  # type: ignore[operator]
    if not valid:
        what = f"a number of {unit}" if unit else "a number"
        example = low + 1 if high is None else (low + high) / 2
        raise _refusal(name, value, f"{what} {_range(low, high, above)}", f"{example:g}")
    return float(value)  # type: ignore[arg-type]


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """`value` if it is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise _refusal(name, value, f"one of {', '.join(allowed)}", allowed[0])
    return value


def flags(cls: type) -> set[str]:
    """The names of the options of a class and its bases that are true or false, by their annotations."""
    made = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base) and base is not object]
    return {
        name
        for init in made
        for name, annotation in getattr(init, "__annotations__", {}).items()
        if annotation in (bool, bool | None, "bool", "bool | None")
    }


def check_flags(cls: type, options: Mapping[str, object]) -> None:
    """Raises `BadInput` for an option that is true or false and was given another value: a text such as `no` would
    otherwise count as true."""
    for name in sorted(flags(cls) & options.keys()):
        if not isinstance(options[name], bool) and options[name] is not None:
            raise _refusal(name, options[name], "true or false", "true")


def _range(low: float, high: float | None, above: bool = False) -> str:
    if high is None:
        return f"{'>' if above else '≥'} {low:g}"
    return f"above {low:g}, at most {high:g}" if above else f"from {low:g} to {high:g}"


def _refusal(name: str, value: object, expected: str, example: str) -> BadInput:
    return BadInput(f"{name} must be {expected}, got {value}.", f"Use {name}={example}, for example.")
