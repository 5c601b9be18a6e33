"""How often the gradient norm had which size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcore.plots.curves import BLUE, GREEN, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradcore.runs import Run

BINS = 50


def draw_distribution(axes: Axes, run: Run) -> None:
    """A histogram of norms before and after clipping, over steps in which all was finite."""
    axes.set(title="Distribution of the norm", ylabel="steps")
    axes.set_xlabel("L2 norm of all gradients")
    counted = ~run.events & (run.arrays["norm"] > 0) & np.isfinite(run.arrays["norm"])
    norm, after = run.arrays["norm"][counted], run.arrays["clipped_norm"][counted]
    after = after[(after > 0) & np.isfinite(after)]
    if not norm.size:
        say(axes, "no step was finite")
        return
    low, high = np.log10([min([norm.min(), *after]), norm.max()])
    if high - low < 1e-6:  # noqa: PLR2004 - all alike: a bin needs a width
        low, high = low - 0.1, high + 0.1
    edges = np.logspace(low - 1e-6, high + 1e-6, BINS + 1).tolist()  # ends are in, rounded or not
    axes.hist(norm, edges, color=BLUE, alpha=0.55, label="before clipping")
    axes.hist(after, edges, color=GREEN, histtype="step", linewidth=1.6, label="after")
    for name, style in (("p50_norm", "-"), ("p99_norm", ":")):
        value = run.summary[name]
        label = f"{name[1:3]} % are below {value:.3g}"
        axes.axvline(value, color="black", linestyle=style, linewidth=1.0, label=label)
    axes.set_xscale("log")
    left_out = int(np.sum(~counted))
    note = (
        f" ({left_out} of {len(counted)} steps left out: not finite, or zero)" if left_out else ""
    )
    axes.set_xlabel(f"L2 norm of all gradients{note}")
    axes.legend(frameon=False, fontsize="small")
