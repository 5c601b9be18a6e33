"""How cost grows: with bytes, and with tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.utils import clip_grad_norm_

import gradcore
from gradcore.cli.bench.cases import WITHIN
from gradcore.cli.bench.timing import compare
from gradcore.cli.bench.workloads import Shapes, parameters_of

if TYPE_CHECKING:
    from pathlib import Path

ELEMENTS: Final = tuple(4**exponent for exponent in range(5, 14))  # 4 KB to 268 MB
TENSORS: Final = (10, 30, 100, 300, 1000, 3000, 10_000)
EACH: Final = 64
"""Elements of a small tensor."""

COLOURS: Final = {"gradcore": "#0072B2", "torch": "#D55E00"}
"""Of Okabe and Ito, which people tell apart whatever colours they see."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds of a call that changes nothing, by size."""

    sizes: tuple[int, ...]
    seconds: dict[str, list[float]]


def by_bytes(rounds: int) -> Curve:
    """One float32 tensor, ever larger."""
    return _curve(ELEMENTS, lambda elements: [(elements,)], rounds)


def by_tensors(rounds: int) -> Curve:
    """Ever more tensors of 64 float32 elements."""
    return _curve(TENSORS, lambda tensors: [(EACH,)] * tensors, rounds)


def _curve(sizes: tuple[int, ...], shapes: Callable[[int], Shapes], rounds: int) -> Curve:
    seconds: dict[str, list[float]] = {"gradcore": [], "torch": []}
    for size in sizes:
        parameters = parameters_of(shapes(size), torch.float32)
        times = compare(
            {
                "gradcore": lambda p=parameters: gradcore.clip_grad_norm_(p, WITHIN),  # type: ignore[misc]
                "torch": lambda p=parameters: clip_grad_norm_(p, WITHIN),  # type: ignore[misc]
            },
            before=lambda: None,
            rounds=rounds,
            budget=5.0,
        )
        for name, timing in times.items():
            seconds[name].append(timing.minimum)
    return Curve(sizes, seconds)


def draw(bytes_: Curve, tensors: Curve, path: Path) -> None:
    """Two small plots of what ``clip_grad_norm_`` costs with nothing to clip."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, curve, unit in ((left, bytes_, 4), (right, tensors, 1)):
        for name, colour in COLOURS.items():
            sizes = [unit * size for size in curve.sizes]
            milliseconds = [1e3 * second for second in curve.seconds[name]]
            axes.loglog(sizes, milliseconds, "o-", color=colour, label=name)
    left.set(xlabel="bytes of one float32 gradient", ylabel="milliseconds a call")
    right.set(xlabel=f"gradients of {EACH} float32 elements", ylabel="milliseconds a call")
    left.set_title("cost of a byte")
    right.set_title("cost of a tensor")
    for axes in (left, right):
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(
        f"clip_grad_norm_ with nothing to clip, {torch.get_num_threads()} thread"
        f"{'s' if torch.get_num_threads() > 1 else ''}"
    )
    figure.savefig(path, dpi=150)
