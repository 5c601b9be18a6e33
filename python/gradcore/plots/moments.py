"""Mean, deviation and extremes of the elements of all gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcore.plots.curves import BLUE, GREEN, VERMILION, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradcore.runs import Run


def draw_moments(axes: Axes, run: Run) -> None:
    """Magnitude of the mean, standard deviation and largest magnitude, step by step."""
    axes.set(title="Elements of gradients", xlabel="step")
    axes.set_ylabel("magnitude\n(loss per unit of parameter)")
    moments = run.moments
    drawn = 0
    for values, label, colour in (
        (moments.max_abs, "largest", VERMILION),
        (moments.std, "standard deviation", BLUE),
        (np.abs(moments.mean), "|mean|", GREEN),
    ):
        positive = np.isfinite(values) & (values > 0)
        if positive.any():
            axes.plot(
                moments.step, np.where(positive, values, np.nan), color=colour, linewidth=1.0,
                label=label,
            )  # fmt: skip
            drawn += 1
    if not drawn:
        say(axes, 'not measured:\nGuard(…, needs=("sum", "max_abs"))')
        return
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize="small")
