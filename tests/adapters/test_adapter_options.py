"""Checks of adapter options."""

from __future__ import annotations

import math

import pytest

from speech_eval.adapters.options import choice, number, whole
from speech_eval.errors import BadInput


def test_valid_options_are_returned() -> None:
    assert whole("n", 3) == 3 and whole("n", 0, 0) == 0
    assert number("t", 1) == 1.0 and isinstance(number("t", 1), float)
    assert choice("f", "wav", ("wav", "pcm")) == "wav"


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_a_whole_number_is_checked(value: object) -> None:
    with pytest.raises(BadInput, match=r"retries must be a whole number ≥ 1, got .*\. Use retries=1"):
        whole("retries", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "1", False])
def test_a_number_is_checked(value: object) -> None:
    with pytest.raises(BadInput, match=r"rate must be a number from 0 to 1, got .*\. Use rate=0\.5"):
        number("rate", value, 0.0, 1.0)


def test_the_lower_bound_can_be_excluded_and_the_unit_is_named() -> None:
    with pytest.raises(BadInput, match="timeout must be a number of seconds > 0, got 0"):
        number("timeout", 0, above=True, unit="seconds")


def test_a_choice_names_the_alternatives() -> None:
    with pytest.raises(BadInput, match="format must be one of wav, pcm, got mp3"):
        choice("format", "mp3", ("wav", "pcm"))
