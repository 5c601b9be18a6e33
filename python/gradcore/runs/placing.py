"""Where the cells of a grid are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from gradcore.runs.columns import Numbers
    from gradcore.runs.grid import Grid, Whole

INNER: Final = (0.5, 99.5)
"""Percentiles between which colours differ: one spike shall not make all else look alike."""


def layout(grid: Grid, spacing: float) -> tuple[Numbers, Whole]:
    """Edges of the columns in steps, and the column of the grid in each, -1 where there is a gap.

    Args:
        grid: Whose columns.
        spacing: From one report to the next, in steps, as a rule.
    """
    edges, order = [float(grid.first[0])], []
    for i in range(len(grid.first)):
        order.append(i)
        end = float(grid.last[i]) + spacing
        if i + 1 < len(grid.first):
            following = float(grid.first[i + 1])
            if following > end + 0.5 * spacing:
                edges.append(end)
                order.append(-1)
            end = following
        edges.append(end)
    return np.array(edges), np.array(order, np.int64)


def starts(grid: Grid) -> tuple[Whole, Whole]:
    """Columns and rows at which something turned non-finite, in the order of steps.

    Gradients flow from the last parameter to the first and take a NaN along: of rows one above the
    other that turn at once, the last is where it began.
    """
    bad = (grid.nonfinite > 0).T
    begins = bad & ~np.vstack([np.zeros((1, bad.shape[1]), np.bool_), bad[:-1]])
    begins[:, :-1] &= ~begins[:, 1:].copy()
    column, row = np.nonzero(begins)
    return column, row


def colour_range(grid: Grid) -> tuple[float, float]:
    """Logarithms of norms at the two ends of the colours; what is beyond has the colour there."""
    finite = grid.log_norm[np.isfinite(grid.log_norm)]
    low, high = np.percentile(finite, INNER).tolist() if finite.size else (-1.0, 1.0)
    return low, max(high, low + 1e-3)


def meaning(grid: Grid) -> str:
    """What a cell stands for, where it is more than a parameter and a step; else nothing."""
    several = []
    if len(grid.first) < grid.steps:
        several.append(f"{-(-grid.steps // len(grid.first))} steps")
    if len(grid.names) < grid.parameters:
        several.append(f"{-(-grid.parameters // len(grid.names))} parameters")
    return f"the largest of {' and '.join(several)} a cell" if several else ""
