"""Which metrics of a run rise and fall together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcore.plots.curves import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradcore.runs import Run
    from gradcore.runs.columns import Numbers

DARK = 0.6
"""Correlations beyond this have so dark a ground that their numbers are written in white."""


def draw_correlation(axes: Axes, run: Run) -> None:
    """Spearman's rank correlation of the metrics that vary, over steps in which both are known."""
    axes.set_title("Rank correlation of metrics (Spearman)")
    metrics = varying(run)
    if len(metrics) < 2:  # noqa: PLR2004 - a correlation has two sides
        say(axes, "fewer than two metrics vary")
        axes.set_xticks([])
        return
    table = np.array([[spearman(a, b) for b in metrics.values()] for a in metrics.values()])
    image = axes.imshow(table, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
    axes.set_xticks(range(len(metrics)), list(metrics), rotation=40, ha="right")
    axes.set_yticks(range(len(metrics)), list(metrics))
    for (row, column), value in np.ndenumerate(table):
        text = "?" if np.isnan(value) else f"{value:.2f}"
        colour = "white" if abs(value) > DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    axes.figure.colorbar(image, ax=axes, label="-1: opposite, 1: alike", shrink=0.8)


def varying(run: Run) -> dict[str, Numbers]:
    """Metrics that change, by name: one value a step, NaN where it is unknown."""
    arrays, moments = run.arrays, run.moments
    at = np.searchsorted(arrays["step"], moments.step)
    metrics = {
        "loss": arrays["loss"],
        "norm": np.where(run.events, np.nan, arrays["norm"]),
        "clip factor": arrays["scale"],
        "non-finite": arrays["nan"] + arrays["posinf"] + arrays["neginf"],
        "stability": arrays["stability"],
    }
    for name, values in (
        ("|mean|", np.abs(moments.mean)), ("deviation", moments.std), ("largest", moments.max_abs)
    ):  # fmt: skip
        metrics[name] = np.full(len(arrays["step"]), np.nan)
        metrics[name][at] = values
    finite = {name: np.where(np.isfinite(v), v, np.nan) for name, v in metrics.items()}
    return {name: v for name, v in finite.items() if np.unique(v[~np.isnan(v)]).size > 1}


def spearman(a: Numbers, b: Numbers) -> float:
    """Pearson's correlation of ranks, those of equal values averaged; NaN if either never varies.

    Source:
        C. Spearman, "The Proof and Measurement of Association between Two Things", American Journal
        of Psychology 15 (1904), 72-101.
    """
    both = ~np.isnan(a) & ~np.isnan(b)
    x, y = _ranks(a[both]), _ranks(b[both])
    if np.unique(x).size < 2 or np.unique(y).size < 2:  # noqa: PLR2004
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Numbers) -> Numbers:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Numbers = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return ranks
