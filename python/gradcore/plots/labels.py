"""Names of parameters in pictures."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 34
"""Characters of a name that are shown."""


def abbreviated(name: str, width: int = WIDTH) -> str:
    """A name of at most so many characters; its end tells more than its beginning."""
    clean = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name
    )
    if len(clean) <= width:
        return clean
    head = width // 3
    return f"{clean[:head]}…{clean[len(clean) - (width - head - 1) :]}"


def labelled(count: int, most: int, important: Collection[int] = ()) -> list[int]:
    """Which of so many rows get a label: the important ones, and every k-th where there is room.

    Args:
        count: How many rows there are.
        most: How many labels there is room for, one above the other.
        important: Rows that come first; the first of those that are too close to one another.
    """
    apart = max(1.0, count / most)
    taken: list[int] = []
    for row in [*important, *range(0, count, int(np.ceil(apart)))]:
        if all(abs(row - other) >= apart for other in taken):
            taken.append(row)
    return sorted(taken)


def shared_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a dot; empty if there is but one name."""
    if len(names) < 2:  # noqa: PLR2004 - there is nothing to share
        return ""
    prefix = os.path.commonprefix(list(names))  # noqa: RUF071 - no paths
    return prefix[: prefix.rfind(".") + 1]


def label_rows(
    axes: Axes, names: Sequence[str], rows: Sequence[int], emphasised: Collection[int], colour: str
) -> None:
    """Write names at rows of a picture, as they are: a dollar sign starts no formula.

    What all names begin with is written once, beside the axis.
    """
    prefix = shared_prefix(names)
    labels = [abbreviated(names[row][len(prefix) :]) for row in rows]
    axes.set_yticks(rows, labels, parse_math=False)
    axes.set_ylabel(f"{abbreviated(prefix, 60)}…" if prefix else "", parse_math=False)
    for row, text in zip(rows, axes.get_yticklabels(), strict=True):
        if row in emphasised:
            text.set(color=colour, fontweight="bold")
