"""What is timed: the same work by gradcore and by torch, on the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch.nn.utils import clip_grad_norm_, get_total_norm

import gradcore
from gradcore.cli.bench.workloads import gradients_of
from gradcore.floor import read_once

if TYPE_CHECKING:
    from torch import Tensor

WITHIN: Final = 1e9
"""A bound that no norm of a workload comes near."""

SHARE: Final = 100
"""One element in so many is struck where many are."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of work."""

    name: str
    gradcore: Callable[[list[Tensor]], object]
    torch: Callable[[list[Tensor]], object]
    nonfinite: float = 0.0
    """Share of the elements that are NaN, or 0 < share < 1e-9 for a single one."""
    complexes: bool = True
    """Whether torch can do it to complex gradients."""
    smallest: bool = False
    """Whether it says anything about lists of small tensors."""


def _repair_and_clip(parameters: list[Tensor]) -> None:
    for gradient in gradients_of(parameters):
        gradient.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    clip_grad_norm_(parameters, 1e-3)


def _zero_and_clip(parameters: list[Tensor]) -> None:
    gradcore.clip_grad_norm_(parameters, 1e-3, nonfinite="zero")


SINGLE: Final = 1e-10

CASES: Final = (
    Case(
        "measure",
        gradcore.measure,
        lambda parameters: get_total_norm(gradients_of(parameters)),
        smallest=True,
    ),
    Case(
        "measure everything",
        lambda parameters: gradcore.measure(parameters, ("l1", "max_abs", "sum", "zeros")),
        lambda parameters: get_total_norm(gradients_of(parameters)),
    ),
    Case(
        "clip, within bounds",
        lambda parameters: gradcore.clip_grad_norm_(parameters, WITHIN),
        lambda parameters: clip_grad_norm_(parameters, WITHIN),
        smallest=True,
    ),
    Case(
        "clip",
        lambda parameters: gradcore.clip_grad_norm_(parameters, 1e-3),
        lambda parameters: clip_grad_norm_(parameters, 1e-3),
        smallest=True,
    ),
    Case("repair one and clip", _zero_and_clip, _repair_and_clip, SINGLE, complexes=False),
    Case("repair 1 % and clip", _zero_and_clip, _repair_and_clip, 1 / SHARE, complexes=False),
)


def calls_of(
    case: Case, parameters: list[Tensor]
) -> tuple[dict[str, Callable[[], object]], Callable[[], object]]:
    """Calls of a case on these parameters, and what brings their gradients back before each.

    The pure read of the gradients' bytes is one of the calls, as ``floor``.
    """
    gradients = gradients_of(parameters)
    if case.nonfinite:
        for gradient in gradients:
            strike(gradient, case.nonfinite)
            if case.nonfinite == SINGLE:
                break
    saved = [gradient.clone() for gradient in gradients]

    def bring_back() -> None:
        torch._foreach_copy_(gradients, saved)
        read_once(gradients)

    calls: Mapping[str, Callable[[], object]] = {
        "floor": lambda: read_once(gradients),
        "gradcore": lambda: case.gradcore(parameters),
        "torch": lambda: case.torch(parameters),
    }
    reads_only = case.name.startswith("measure")
    return dict(calls), (lambda: read_once(gradients)) if reads_only else bring_back


def strike(gradient: Tensor, share: float) -> None:
    """Make every so-manieth element NaN, or one if the share is tiny."""
    step = min(gradient.numel(), round(1 / share))
    gradient.view(-1)[::step] = float("nan")
