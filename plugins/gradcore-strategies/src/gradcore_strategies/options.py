"""Checks of options that several strategies make, each worded once."""

from __future__ import annotations

import math


def require_weight(name: str, value: float) -> float:
    """Return the weight of the past if it is in [0, 1), else raise `ValueError`."""
    return _require(name, value, 0.0 <= value < 1.0, "at least 0 and less than 1")


def require_positive(name: str, value: float) -> float:
    """Return a finite number > 0, else raise `ValueError`."""
    return _require(name, value, 0.0 < value < math.inf, "finite and greater than 0")


def require_percentile(name: str, value: float) -> float:
    """Return a number of 0 to 100, else raise `ValueError`."""
    return _require(name, value, 0.0 <= value / 100.0 <= 1.0, "from 0 to 100")


def require_count(name: str, value: object, *, least: int = 1) -> int:
    """Return a whole number of at least ``least``, else raise `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}.")
    return value


def require_axis(name: str, value: object) -> int:
    """Return a whole number, else raise `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number; got {value!r}.")  # noqa: TRY004 - as of every option
    return value


def _require(name: str, value: float, holds: bool, words: str) -> float:
    if not holds:
        raise ValueError(f"{name} must be {words}; got {value}.")
    return float(value)
