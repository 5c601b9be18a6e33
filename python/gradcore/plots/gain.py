"""How gradients grow and shrink from block to block, architectures side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcore.plots.canvas import COLOURS, MARKERS, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradcore.monitors import GradientGainMonitor


def plot_gain(
    monitors: Mapping[str, GradientGainMonitor],
    path: str | Path | None = None,
    *,
    title: str = "Gradients on their way back through the blocks",
) -> Figure:
    """Draw the gradient norm at each block's output and the gain of each transition.

    Args:
        monitors: What to compare, by the names that the legend shall show; closed ones will do.
        path: Where to write the picture, the suffix saying in which format; None: nowhere.
        title: What stands above it.

    Returns:
        The figure, for further changes.  Logarithmic axes; the gains between 0.5 and 2 lie on
        a grey band; a gain through which the gradient vanished is a cross at the lower edge.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: There is nothing to draw, or the monitors measured different norms.
        OSError: ``path`` cannot be written.
    """
    kinds = sorted({monitor.norm_type for monitor in monitors.values()})
    if len(kinds) != 1:
        raise ValueError(f"monitors must be of one norm_type; got {', '.join(kinds) or 'none'}.")
    figure = new_figure(9, 7)
    above, below = figure.subplots(2, sharex=True)
    for index, (name, monitor) in enumerate(monitors.items()):
        style: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "marker": MARKERS[index % len(MARKERS)],
            "markersize": 6,
            "linewidth": 1.6,
        }
        norms = _drawable(monitor.norms())
        above.plot(range(len(norms)), norms, label=name, **style)
        _draw_gains(below, monitor.gains(), style)
    above.set_yscale("log")
    above.set_ylabel(f"gradient norm ({kinds[0]})\n(loss per unit of activation)")
    above.set_title(title)
    above.legend(frameon=False)
    below.set_yscale("log", base=2)
    below.axhspan(
        *(0.5, 2.0), color="#999999", alpha=0.2, linewidth=0, label="0.5 to 2: healthy, as a rule"
    )
    below.legend(frameon=False)
    below.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    below.set_ylabel("gain (ratio)\n> 1: grows on its way back")
    below.set_xlabel("block (the loss is on the right, gradients flow to the left)")
    below.yaxis.set_major_formatter("{x:g}")
    below.xaxis.get_major_locator().set_params(integer=True)
    for axes in (above, below):
        axes.grid(alpha=0.25)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _draw_gains(axes: Axes, gains: Sequence[float | None], style: dict[str, Any]) -> None:
    """Draw each gain between the blocks it is about."""
    places = [index + 0.5 for index in range(len(gains))]
    axes.plot(places, _drawable(gains), **style)
    vanished = [place for place, gain in zip(places, gains, strict=True) if gain in {0.0, math.inf}]
    at_the_edge = axes.get_xaxis_transform()
    axes.plot(
        vanished,
        [0.04] * len(vanished),
        linestyle="none",
        marker="x",
        color=style["color"],
        transform=at_the_edge,
    )


def _drawable(values: Sequence[float | None]) -> list[float]:
    """Gaps where there is no value, or none that a logarithmic axis has a place for."""
    return [value if value is not None and 0.0 < value < math.inf else math.nan for value in values]
