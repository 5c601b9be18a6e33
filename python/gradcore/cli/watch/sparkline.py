"""A curve in one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

if TYPE_CHECKING:
    import numpy.typing as npt

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"
"""For terminals that know ASCII alone."""

NOTHING = "x"
"""Where no number is finite."""

SHOWN = (0.02, 0.98)
"""Quantiles of what is drawn that the lowest and the highest character stand for."""


def sparkline(
    numbers: npt.NDArray[Any], marked: npt.NDArray[np.bool_], width: int, *, plain: bool
) -> Text:
    """A character for one or several numbers in a row: the largest of them that is finite.

    Args:
        numbers: ``[n]``; if all that are finite are above zero, their logarithms are drawn.
        marked: Bool ``[n]``: in red.
        width: Characters at most.
        plain: In ASCII.
    """
    if not len(numbers):
        return Text("")
    steps = np.array_split(np.arange(len(numbers)), min(width, len(numbers)))
    finite = np.isfinite(numbers)
    above_zero = bool((numbers[finite] > 0).all())
    heights = np.full(len(numbers), np.nan)
    heights[finite] = np.log10(numbers[finite]) if above_zero else numbers[finite]
    peaks = [heights[s][finite[s]].max(initial=-np.inf) for s in steps]
    known = [peak for peak in peaks if peak > -np.inf]
    # One outlier would flatten all the others: it stands at the top, with them filling the line.
    low, high = np.quantile(known, SHOWN, method="nearest") if known else (0.0, 0.0)
    if high <= low and known:
        low, high = min(known), max(known)
    blocks, line = PLAIN if plain else BLOCKS, Text()
    for some, peak in zip(steps, peaks, strict=True):
        level = 0
        if high > low and peak > -np.inf:
            share = min(max((peak - low) / (high - low), 0.0), 1.0)
            level = round(share * (len(blocks) - 1))
        character = blocks[level] if peak > -np.inf else NOTHING
        line.append(character, style="bold red" if marked[some].any() else "cyan")
    return line
