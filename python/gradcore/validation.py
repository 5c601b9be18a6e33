"""Checks of options that several places make, each worded once."""

from __future__ import annotations

import math
from numbers import Real


def require_positive(name: str, value: float) -> float:
    """Return ``value`` as a float if it is finite and > 0, else raise `ValueError`."""
    number = _number(name, value)
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(f"{name} must be finite and greater than 0; got {value}.")
    return number


def require_order(name: str, value: float) -> float:
    """Return the order of a p-norm as a float if it is > 0 (infinity too), else raise."""
    number = _number(name, value)
    if not number > 0.0:
        raise ValueError(f"{name} must be greater than 0, or infinite; got {value}.")
    return number


def require_threshold(name: str, value: float) -> float:
    """Return ``value`` as a float if it is > 0 (infinity too, which means never), else raise."""
    number = _number(name, value)
    if not number > 0.0:
        raise ValueError(f"{name} must be greater than 0; got {value}.")
    return number


def require_share(name: str, value: float) -> float:
    """Return ``value`` as a float if it is in (0, 1], else raise `ValueError`."""
    number = _number(name, value)
    if not 0.0 < number <= 1.0:
        raise ValueError(f"{name} must be greater than 0 and at most 1; got {value}.")
    return number


def require_nonnegative(name: str, value: float) -> float:
    """Return ``value`` as a float if it is finite and >= 0, else raise `ValueError`."""
    number = _number(name, value)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{name} must be finite and at least 0; got {value}.")
    return number


def require_between(name: str, value: float, low: float, high: float) -> float:
    """Return ``value`` as a float if it is ``low`` to ``high``, else raise `ValueError`."""
    number = _number(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}; got {value}.")
    return number


def require_weight(name: str, value: float) -> float:
    """Return the weight of the past as a float if it is in [0, 1), else raise `ValueError`."""
    number = _number(name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name} must be at least 0 and less than 1; got {value}.")
    return number


def require_count(name: str, value: object) -> int:
    """Return ``value`` if it is an integer of at least 1, else raise `ValueError`."""
    if not isinstance(value, int) or value < 1 or value is True:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r}.")
    return float(value)
