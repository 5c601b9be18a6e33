"""The demo as one picture: three loss curves, the planted faults, and the gradient norm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from gradcore.cli.demo.faults import Kind
from gradcore.cli.demo.training import MAX_NORM

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from gradcore.cli.demo.outcome import Run

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision.
UNDISTURBED: Final = "#999999"
TORCH: Final = "#D55E00"
GRADCORE: Final = "#0072B2"
MARKS: Final = {Kind.NAN: "o", Kind.INF: "^", Kind.SPIKE: "*", Kind.TENSOR: "s"}


def draw(path: Path, undisturbed: Run, torch: Run, gradcore: Run) -> None:
    """Write the picture to ``path``; the suffix says in which format.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: ``path`` cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - it is optional
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 8), layout="constrained")
    FigureCanvasAgg(figure)
    losses, faults, norms = figure.subplots(3, sharex=True, height_ratios=(5, 1.5, 3))
    _draw_losses(losses, undisturbed, torch, gradcore)
    _draw_faults(faults, gradcore)
    _draw_norms(norms, gradcore)
    norms.set_xlabel("step")
    figure.savefig(path, dpi=120)


def _draw_losses(axes: Axes, undisturbed: Run, torch: Run, gradcore: Run) -> None:
    styles: tuple[tuple[Run, dict[str, Any]], ...] = (
        (undisturbed, {"color": UNDISTURBED, "linewidth": 5, "alpha": 0.7}),
        (gradcore, {"color": GRADCORE, "linewidth": 1.3}),
        (torch, {"color": TORCH, "linewidth": 2.5, "linestyle": "--"}),
    )
    for run, style in styles:
        after = f"{run.after:.3f}" if math.isfinite(run.after) else "NaN"
        axes.plot(run.losses, label=f"{run.name}: {after} on held-out text", **style)
    dead = next((n for n, loss in enumerate(torch.losses) if not math.isfinite(loss)), 0)
    if dead:
        place = (dead - 1, torch.losses[dead - 1])
        axes.plot(*place, "X", color=TORCH, markersize=11)
        axes.annotate(
            f"torch: NaN from step {dead} on",
            place,
            xytext=(12, 12),
            textcoords="offset points",
            color=TORCH,
        )
    axes.set_ylabel("training loss\n(nats per character)")
    axes.set_title(
        "One model, one seed, the same batches; faults planted in torch's and gradcore's run"
    )
    axes.legend(loc="upper right", frameon=False)
    axes.grid(alpha=0.25)


def _draw_faults(axes: Axes, run: Run) -> None:
    """Mark each fault at its step, a row a kind."""
    for row, (kind, mark) in enumerate(MARKS.items()):
        steps = [fault.step for fault in run.planted if fault.kind is kind]
        axes.plot(steps, [row] * len(steps), mark, color="black", markersize=7)
    axes.set_yticks(range(len(MARKS)), [kind.value for kind in MARKS])
    axes.set_ylim(len(MARKS) - 0.4, -0.6)
    axes.set_ylabel("planted")
    axes.grid(alpha=0.25)


def _draw_norms(axes: Axes, run: Run) -> None:
    """Draw the norms of steps without a fault: those of spikes would dwarf them."""
    planted = {fault.step for fault in run.planted}
    ordinary = [math.nan if step in planted else norm for step, norm in enumerate(run.norms)]
    axes.plot(ordinary, color=GRADCORE, linewidth=1, label="gradcore, before clipping")
    axes.axhline(MAX_NORM, color="black", linestyle=":", label=f"max_norm = {MAX_NORM:g}")
    for step in planted:
        axes.axvline(step, color="black", linewidth=0.8, alpha=0.25)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("gradient norm (L2)\n(nats per unit of weight)")
    axes.legend(loc="upper right", framealpha=1.0, edgecolor="none")
    axes.grid(alpha=0.25)
