"""The norm of every parameter's gradient over the steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gradcore.plots.curves import VERMILION, say
from gradcore.plots.labels import label_rows, labelled
from gradcore.runs.placing import colour_range, layout, meaning, starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradcore.runs import Grid, Run

UNKNOWN: Final = "#d9d9d9"
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
    low, high = colour_range(grid)
    axes.set_facecolor(UNKNOWN)
    colours = axes.pcolormesh(
        edges, rows, np.ma.masked_invalid(logs), cmap="viridis", rasterized=True,
        vmin=low, vmax=high,
    )  # fmt: skip
    for cells, colour in ((np.isneginf(logs), "black"), (bad, VERMILION)):
        ones = np.ma.masked_where(~cells, np.ones(cells.shape))
        axes.pcolormesh(edges, rows, ones, cmap=ListedColormap([colour]), rasterized=True)
    column, row = starts(grid)
    axes.plot(
        grid.first[column[:MARKS]],
        row[:MARKS],
        "x",
        color=VERMILION,
        markersize=5,
        markeredgewidth=1.2,
    )
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
    """What is shown, and what a cell stands for."""
    words = f"Gradient norm of each of {grid.parameters} parameters"
    return f"{words}; {meaning(grid)}" if meaning(grid) else words
