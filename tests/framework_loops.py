"""One short training with planted faults, for frameworks to be compared with a plain loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import gradcore
import training

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = 12
SKIPPED = [2, 5]
"""Steps with a NaN and an infinity."""
SPIKE = 8

OPTIONS: dict[str, Any] = {"max_norm": 0.5, "checks": ["nonfinite_streak"]}


def batches(count: int = STEPS) -> list[Tensor]:
    """Batches of a fixed seed, eight rows each."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(8, 4, generator=generator) for _ in range(count)]


def loss_of(net: nn.Module, batch: Tensor) -> Tensor:
    """Some loss that can be brought down."""
    return (net(batch) - batch[:, :2].tanh()).square().mean()


def plant(net: nn.Module, step: int) -> None:
    """What goes wrong in the gradients of a step, after its last backward."""
    first, *_, last = net.parameters()
    if step == SKIPPED[0]:
        training.plant(last, math.nan)
    elif step == SKIPPED[1]:
        training.plant(first, math.inf, math.nan)
    elif step == SPIKE:
        assert first.grad is not None
        first.grad.mul_(1e25)


def plain(
    steps: Sequence[Sequence[Tensor]], **options: Any
) -> tuple[nn.Module, torch.optim.Optimizer, gradcore.Guard]:
    """What a loop without a framework gives: a step for each sequence of batches."""
    net = training.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    guard = gradcore.Guard(net, **{**OPTIONS, **options})
    for number, step in enumerate(steps):
        optimizer.zero_grad()
        total = torch.zeros(())
        for batch in step:
            loss = loss_of(net, batch) / len(step)
            loss.backward()
            total = total + loss.detach()
        plant(net, number)
        guard.step(optimizer, loss=total)
    return net, optimizer, guard


def told(guard: gradcore.Guard) -> list[dict[str, Any]]:
    """A history as plain numbers, without what only a loop of one's own can tell."""
    return [report.to_dict() for report in guard.history]
