"""The norm of every parameter's gradient over the steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gradcore.plots.curves import VERMILION, say
from gradcore.plots.labels import label_rows, labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradcore.runs import Grid, Run
    from gradcore.runs.grid import Singles, Whole

UNKNOWN: Final = "#d9d9d9"
INNER: Final = (0.5, 99.5)
"""Percentiles between which colours differ: one spike shall not make all else look alike."""

MARKS: Final = 3000
"""Starts of non-finite stretches that are marked; beyond it the cells alone show them."""


def draw_heat_map(axes: Axes, run: Run, labels: int = 40) -> None:
    """log10 of each norm as a colour; zero, unknown and non-finite have colours of their own.

    Args:
        axes: Where to draw.
        run: What to draw.
        labels: How many names there is room for.
    """
    from matplotlib.colors import ListedColormap  # noqa: PLC0415 - optional
    from matplotlib.lines import Line2D  # noqa: PLC0415

    grid = run.grid
    axes.set(xlabel="step")
    if grid is None:
        axes.set_title("Gradient norm of each parameter", loc="left", fontweight="bold")
        say(axes, "the reports tell nothing of single parameters")
        return
    edges, order = layout(grid, run.spacing)
    rows = np.arange(len(grid.names) + 1) - 0.5
    logs = np.where(order >= 0, grid.log_norm[:, order], np.nan)
    bad = (order >= 0) & (grid.nonfinite[:, order] > 0)
    finite = logs[np.isfinite(logs)]
    low, high = np.percentile(finite, INNER) if finite.size else (-1.0, 1.0)
    axes.set_facecolor(UNKNOWN)
    colours = axes.pcolormesh(
        edges, rows, np.ma.masked_invalid(logs), cmap="viridis", rasterized=True,
        vmin=low, vmax=max(high, low + 1e-3),
    )  # fmt: skip
    for cells, colour in ((np.isneginf(logs), "black"), (bad, VERMILION)):
        ones = np.ma.masked_where(~cells, np.ones(cells.shape))
        axes.pcolormesh(edges, rows, ones, cmap=ListedColormap([colour]), rasterized=True)
    step, row = starts(grid)
    axes.plot(step[:MARKS], row[:MARKS], "x", color=VERMILION, markersize=5, markeredgewidth=1.2)
    axes.figure.colorbar(colours, ax=axes, label="log10 of the L2 norm", pad=0.01, extend="both")
    ill = [int(i) for i in np.argsort(grid.first_nonfinite) if np.isfinite(grid.first_nonfinite[i])]
    names = labelled(len(grid.names), labels, ill)
    label_rows(axes, grid.names, names, ill, VERMILION)
    axes.tick_params(axis="y", labelsize="x-small")
    axes.set_ylim(len(grid.names) - 0.5, -0.5)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title(title(grid), loc="left", fontweight="bold")
    patch: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 7}
    axes.legend(
        handles=[
            Line2D([], [], color=VERMILION, **patch, label="not finite (cross: where it begins)"),
            Line2D([], [], color="black", **patch, label="zero"),
            Line2D([], [], color=UNKNOWN, **patch, label="no gradient, or not measured"),
        ],
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize="small",
    )  # fmt: skip


def title(grid: Grid) -> str:
    """What is shown, and what a cell stands for where it is more than a parameter and a step."""
    words = f"Gradient norm of each of {grid.parameters} parameters"
    cell = []
    if len(grid.first) < grid.steps:
        cell.append(f"{-(-grid.steps // len(grid.first))} steps")
    if len(grid.names) < grid.parameters:
        cell.append(f"{-(-grid.parameters // len(grid.names))} parameters")
    return words + (f"; the largest of {' and '.join(cell)} a cell" if cell else "")


def layout(grid: Grid, spacing: float) -> tuple[Singles, Whole]:
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
    return np.array(edges, np.float32), np.array(order, np.int64)


def starts(grid: Grid) -> tuple[Whole, Whole]:
    """Steps and rows at which stretches of non-finite cells begin, in the order of steps."""
    bad = (grid.nonfinite > 0).T
    begins = bad & ~np.vstack([np.zeros((1, bad.shape[1]), bool), bad[:-1]])
    column, row = np.nonzero(begins)
    return grid.first[column], row
