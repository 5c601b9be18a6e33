"""Figures without a window, and the colours of all pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
"""Told apart with any colour vision: Okabe and Ito, "Color Universal Design", 2008."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
"""For those who see no colour, and for paper."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, drawn by Agg: it needs no display and no ``pyplot``.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; says how to install it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Pictures need matplotlib ({error}). Install it with: pip install 'gradcore[plot]'",
            name=error.name,
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
