"""Which steps of a long run are drawn."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcore.runs.columns import Numbers

MOST: Final = 10_000
"""Steps up to which all are drawn."""

STRETCHES: Final = 2_000

Places: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def drawn(length: int, curves: Sequence[Numbers]) -> Places:
    """Places of the steps that are drawn: all, or of each stretch the lowest and highest points.

    Args:
        length: How many steps there are.
        curves: ``[length]`` each; infinite counts as extreme, NaN as nothing.
    """
    if length <= MOST:
        return np.arange(length)
    kept = {0, length - 1}
    bounds = np.linspace(0, length, STRETCHES + 1).astype(int).tolist()
    for start, stop in pairwise(bounds):
        for curve in curves:
            part = curve[start:stop]
            known = np.flatnonzero(~np.isnan(part))
            if known.size:
                values = part[known]
                kept |= {start + int(known[values.argmin()]), start + int(known[values.argmax()])}
    return np.array(sorted(kept), np.int64)
