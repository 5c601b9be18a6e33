"""Loss, gradient norm, non-finite elements and clipping, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gradcore.plots.canvas import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradcore.runs import Run
    from gradcore.runs.columns import Numbers

BLUE, VERMILION, GREEN, PURPLE = COLOURS[:4]
GREY: Final = "#666666"
WIDE: Final = 30.0
"""Positive numbers whose largest is so many times the smallest are drawn on a logarithmic axis."""


def draw_loss(axes: Axes, run: Run) -> None:
    """The loss; steps at which it was not finite are crosses at the upper edge."""
    step, loss, given = run.arrays["step"], run.arrays["loss"], run.given_loss
    axes.set(title="Loss", ylabel="loss", xlabel="step")
    if not given.any():
        say(axes, "no loss was given: guard.step(optimizer, loss=loss)")
        return
    finite = np.isfinite(loss)
    axes.plot(step, np.where(finite, loss, np.nan), color=BLUE, linewidth=1.0)
    if finite.any() and loss[finite].min() > 0 and np.ptp(np.log(loss[finite])) > np.log(WIDE):
        axes.set_yscale("log")
    cross(axes, step[given & ~finite], "loss not finite")


def draw_norm(axes: Axes, run: Run) -> None:
    """The norm before and after clipping, the bound, and which steps were not finite."""
    step, norm, after = (run.arrays[name] for name in ("step", "norm", "clipped_norm"))
    event = run.events
    shown = (norm > 0) & np.isfinite(norm)
    axes.set(title="Gradient norm", xlabel="step", yscale="log")
    axes.set_ylabel("L2 norm of all gradients\n(loss per unit of parameter)")
    for values, label, colour in ((norm, "before clipping", BLUE), (after, "after", GREEN)):
        drawn = np.where((values > 0) & np.isfinite(values) & ~event, values, np.nan)
        axes.plot(step, drawn, color=colour, linewidth=1.0, label=label)
    bound = run.bounds
    if np.isfinite(bound).any():
        axes.plot(
            step, bound, "_", color="black", markersize=4, label="bound, where it was reached"
        )
    some = event & shown
    if some.any():
        axes.plot(
            step[some], norm[some], "x", color=VERMILION, markersize=5,
            label="of the finite elements,\nwhere others were not",
        )  # fmt: skip
    cross(axes, step[~np.isfinite(norm)], "norm not finite")
    zero = step[norm == 0.0]
    if zero.size:
        at_the_edge = axes.get_xaxis_transform()
        axes.plot(
            zero, np.full(zero.size, 0.02), "v", color=GREY, label="zero", transform=at_the_edge
        )
    axes.legend(frameon=False, fontsize="small")


def draw_nonfinite(axes: Axes, run: Run) -> None:
    """How many gradient elements were not finite, of each kind."""
    step = run.arrays["step"]
    axes.set(title="Non-finite elements of gradients", ylabel="elements", xlabel="step")
    axes.set_xlim(*span(step))
    kinds = (
        ("nan", "NaN", VERMILION, "o"),
        ("posinf", "+Inf", BLUE, "^"),
        ("neginf", "-Inf", GREEN, "v"),
    )
    if not any(run.arrays[key].any() for key, *_ in kinds):
        say(axes, "none, in any step")
        return
    axes.set(yscale="log")
    for key, label, colour, marker in kinds:
        count = run.arrays[key]
        some = count > 0
        if some.any():
            axes.vlines(step[some], 0.7, count[some], color=colour, linewidth=0.8, alpha=0.6)
            axes.plot(step[some], count[some], marker, color=colour, markersize=4, label=label)
    axes.set_ylim(0.7, max(10.0, axes.get_ylim()[1]))  # a decade at least, for ticks that count
    axes.legend(frameon=False, fontsize="small")


def draw_clipping(axes: Axes, run: Run) -> None:
    """The factor of each clipped step, and the share of steps that were clipped of late."""
    step, scale = run.arrays["step"], run.arrays["scale"]
    clipped = run.arrays["clipped"] > 0
    window = min(len(step), max(10, len(step) // 50))
    sums = np.concatenate([[0.0], np.cumsum(clipped)])
    ends = np.arange(1, len(step) + 1)
    starts = np.maximum(0, ends - window)
    axes.set(title="Clipping", ylabel="ratio (0 to 1)", xlabel="step", ylim=(-0.03, 1.05))
    axes.plot(
        step[clipped], scale[clipped], ".", color=GREEN, markersize=3, alpha=0.6,
        label="factor applied (after / before)",
    )  # fmt: skip
    axes.plot(
        step, (sums[ends] - sums[starts]) / (ends - starts), color=PURPLE, linewidth=1.6,
        label=f"share of the last {window} steps that were clipped",
    )  # fmt: skip
    axes.set_xlim(*span(step))
    axes.legend(frameon=False, fontsize="small")


def cross(axes: Axes, step: Numbers, label: str) -> None:
    """Mark steps that have no place on the axis with crosses at its upper edge."""
    if step.size:
        axes.plot(
            step, np.full(step.size, 0.97), "x", color=VERMILION, markersize=6, label=label,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        axes.legend(frameon=False, fontsize="small")


def say(axes: Axes, words: str) -> None:
    """Words in the middle of a picture that has nothing else to show."""
    axes.text(
        0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True
    )
    axes.set_yticks([])


def span(step: Numbers) -> tuple[float, float]:
    """Where the axis of steps begins and ends; never twice at the same place."""
    margin = max(0.5, 0.02 * (step[-1] - step[0]))
    return step[0] - margin, step[-1] + margin
