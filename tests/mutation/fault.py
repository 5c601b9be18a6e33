"""A fault that is easy to make and hard to see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """An exact change of one place, and the tests that have to notice."""

    what: str
    path: str
    before: str
    """Stands there exactly once."""
    after: str
    tests: tuple[str, ...] = ()
    """Files of the suite; none for the C++ tests."""
