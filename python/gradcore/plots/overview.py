"""Everything there is to see of a run in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.plots.canvas import new_figure
from gradcore.plots.correlation import draw_correlation
from gradcore.plots.curves import draw_clipping, draw_loss, draw_nonfinite, draw_norm
from gradcore.plots.distribution import draw_distribution
from gradcore.plots.heat_map import draw_heat_map
from gradcore.plots.labels import abbreviated
from gradcore.plots.moments import draw_moments

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure

    from gradcore.runs import Run


def plot_run(
    run: Run, path: str | os.PathLike[str] | None = None, *, title: str = "Gradients of a run"
) -> Figure:
    """Draw loss, norms, clipping, non-finite elements, every parameter's norm, and how they relate.

    Args:
        run: What to draw.
        path: Where to write the picture, the suffix saying in which format; None: nowhere.
        title: What stands above it.

    Returns:
        The figure, for further changes.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: ``path`` cannot be written.
        ValueError: It has a suffix that matplotlib does not know.
    """
    figure = new_figure(15, 17)
    cells = figure.add_gridspec(4, 6, height_ratios=(3, 3, 6, 4))
    places = (
        (draw_loss, cells[0, :3]),
        (draw_norm, cells[0, 3:]),
        (draw_nonfinite, cells[1, :3]),
        (draw_clipping, cells[1, 3:]),
        (draw_heat_map, cells[2, :]),
        (draw_distribution, cells[3, :2]),
        (draw_moments, cells[3, 2:4]),
        (draw_correlation, cells[3, 4:]),
    )
    for draw, cell in places:
        axes = figure.add_subplot(cell)
        draw(axes, run)
        axes.title.set_fontweight("bold")
    for axes in figure.axes[:4]:
        axes.grid(alpha=0.25)
    first, last = run.arrays["step"][[0, -1]]
    figure.suptitle(
        f"{abbreviated(title, 80)}: steps {first:.0f} to {last:.0f}",
        parse_math=False,
        fontsize="x-large",
    )
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure
