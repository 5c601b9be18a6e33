"""One short training with faults in its data, on two ranks that see half of each batch.

The mean over both is that of the whole batch, so a plain loop on one process is what there is to
come of it, to rounding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

import gradcore
import training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

STEPS = 8
SKIPPED = [2, 5]
"""Steps with a NaN in what rank 1 sees, and with an infinity in what rank 0 does."""
SPIKE = 6
RATE, MAX_NORM, SCALE = 0.05, 0.5, 256.0


def batches(accumulate: int = 1) -> list[Tensor]:
    """Batches of eight rows, of which every step takes so many."""
    generator = torch.Generator().manual_seed(5)
    made = [torch.randn(8, 4, generator=generator) for _ in range(STEPS * accumulate)]
    made[SKIPPED[0] * accumulate][-1, 1] = math.nan
    made[SKIPPED[1] * accumulate][0, 2] = math.inf
    made[SPIKE * accumulate] *= 1e12
    return made


def half(batch: Tensor, rank: int) -> Tensor:
    """What one of two ranks sees of a batch."""
    return batch.chunk(2)[rank]


def loss_of(net: nn.Module, batch: Tensor) -> Tensor:
    """Some loss that can be brought down, and that a large batch blows up."""
    return (net(batch) - batch[:, :2]).square().mean()


def plain(accumulate: int = 1, *, half_precision: bool = False) -> tuple[nn.Module, gradcore.Guard]:
    """The same on one process that sees whole batches; in float16 under a scaler, if wanted."""
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    guard = gradcore.Guard(net, max_norm=MAX_NORM)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, enabled=half_precision)
    parts = batches(accumulate)
    for step in range(STEPS):
        optimizer.zero_grad()
        for batch in parts[step * accumulate : (step + 1) * accumulate]:
            with torch.autocast("cpu", dtype=torch.float16, enabled=half_precision):
                loss = loss_of(net, batch) / accumulate
            scaler.scale(loss).backward()
        guard.step(optimizer, scaler=scaler)
        scaler.update()
    return net, guard


def told(reports: Sequence[gradcore.Report]) -> list[list[Any]]:
    """What each step came to: numbers first, and verdicts."""
    return [[r.norm, r.clipped_norm, r.clipped, r.skipped] for r in reports]


def check(steps: Sequence[Sequence[Any]], wanted: Sequence[gradcore.Report], error: float) -> None:
    """Each step clipped and skipped as it was to be, with the norm that there was."""
    assert len(steps) == len(wanted) == STEPS
    for (norm, after, clipped, skipped), report in zip(steps, wanted, strict=True):
        assert (clipped, skipped) == (report.clipped, report.skipped)
        assert norm == pytest.approx(report.norm, rel=error)
        assert after == pytest.approx(report.clipped_norm, rel=error)
    assert {*SKIPPED} <= {number for number, (*_, skipped) in enumerate(steps) if skipped}
    assert any(clipped for _, _, clipped, _ in steps)


def elements(net: nn.Module) -> list[float]:
    """All parameters in a row, shards put together."""
    whole = [getattr(p.detach(), "full_tensor", p.detach)() for p in net.parameters()]
    return torch.cat([tensor.flatten() for tensor in whole]).tolist()
