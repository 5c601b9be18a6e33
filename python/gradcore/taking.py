"""Optimizers that can be told not to step, or to divide gradients, as a `GradScaler` tells them.

Private names of torch, tried out first: where they are not as expected, the host decides whether
``step()`` is called, and waits for what it has to know; and clipping is a pass of its own.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


def take(optimizer: Any, found_inf: Tensor | None, divisor: Tensor | None = None) -> None:
    """Call ``step()``.

    Args:
        optimizer: Whose step it is.
        found_inf: Float32 and 0-d: where it is 1, the optimizer does nothing.
        divisor: Likewise: what the optimizer divides gradients by.
    """
    if found_inf is None and divisor is None:
        optimizer.step()
        return
    told = {}
    if divisor is not None:  # never without the other, as a scaler has it
        told = {"grad_scale": divisor, "found_inf": torch.zeros_like(divisor)}
    if found_inf is not None:
        told["found_inf"] = found_inf
    for name, value in told.items():
        setattr(optimizer, name, value)
    try:
        optimizer.step()
    finally:
        for name in told:
            delattr(optimizer, name)


def minds_found_inf(optimizer: Optimizer) -> bool:
    """Whether an optimizer leaves everything as it is where its ``found_inf`` is 1."""
    kind: Any = type(optimizer)
    able = bool(getattr(optimizer, "_step_supports_amp_scaling", False)) and _minds(kind)
    return able and all(_has_state(optimizer, group) for group in optimizer.param_groups)


def _has_state(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    """Whether the state of a group is there, or none is needed.

    A fused SGD that is told not to take its first step leaves as momentum whatever lay in the
    memory (torch 2.13), and the next step adds that to the parameters.
    """
    if not group.get("momentum", True):
        return True
    without = False
    for parameter in group["params"]:
        if parameter.grad is None:
            continue
        if any(value is not None for value in optimizer.state.get(parameter, {}).values()):
            return True
        without = True
    return not without


@functools.cache
def _minds(kind: Any) -> bool:
    """Whether fused optimizers of this kind do; tried out once."""
    one, zero = (torch.full((), found, device="cpu") for found in (1.0, 0.0))
    tried = _tried(kind, (one, None), (zero, None))
    return tried is not None and tried[0][0] == 1.0 and tried[1][0] < 1.0


@functools.cache
def divides(kind: Any) -> bool:
    """Whether fused optimizers of this kind do, and leave what they divided; tried out once."""
    tried = _tried(kind, (None, torch.full((), 2.0, device="cpu")))
    return tried is not None and tried[0][0] < 1.0 and tried[0][1] == 0.5  # noqa: PLR2004 - half of one


def _tried(
    kind: Any, *told: tuple[Tensor | None, Tensor | None]
) -> list[tuple[float, float]] | None:
    """A weight, first 1, and its gradient, after each of some steps; None if one fails."""
    try:
        weight = torch.ones(1, device="cpu", requires_grad=True)
        weight.grad = torch.ones(1, device="cpu")
        optimizer = kind([weight], lr=0.5, fused=True)
        seen = []
        for found_inf, divisor in told:
            take(optimizer, found_inf, divisor)
            seen.append((weight.item(), weight.grad.item()))
    except Exception:  # noqa: BLE001 - whatever it is, the host decides, and clips by itself
        return None
    return seen
