"""Optimizers that can be told not to step, as a `torch.amp.GradScaler` tells fused ones.

Private names of torch, tried out first: where they are not as expected, the host decides whether
``step()`` is called, and waits for what it has to know.
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
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False)) and _minds(kind)


@functools.cache
def _minds(kind: Any) -> bool:
    """Whether fused optimizers of this kind do; tried out once."""
    try:
        weight = torch.ones(1, device="cpu", requires_grad=True)
        weight.grad = torch.ones(1, device="cpu")
        optimizer = kind([weight], lr=0.5, fused=True)
        seen = []
        for found in (1.0, 0.0):
            optimizer.found_inf = torch.full((), found, device="cpu")
            optimizer.step()
            seen.append(weight.item())
    except Exception:  # noqa: BLE001 - whatever it is, the host decides
        return False
    return seen[0] == 1.0 and seen[1] < 1.0
