"""Words that several checks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NAMED: Final = 5
"""Names in one message at most."""


def listed(names: Sequence[str]) -> str:
    """``'a', 'b' and 3 more``."""
    shown = ", ".join(map(repr, names[:NAMED]))
    return shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def counted(count: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{count} {noun}" + "s" * (count != 1)
