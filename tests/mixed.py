"""Training in mixed precision, by torch alone and with a guard, for tests that compare them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from gradcore import books

Step = Callable[[torch.optim.Optimizer, GradScaler], object]

FAULTS = {7: math.inf, 8: math.nan, 20: -math.inf}
"""Steps at which the gradients overflow for certain, and how."""

PATHS = ["books", "public"]
"""A scaler's own books are written in, or public calls alone are used."""


def take(path: str, monkeypatch: Any) -> None:
    """Make gradcore take one of `PATHS`."""
    if path == "public":
        monkeypatch.setattr(books, "_as_expected", lambda: False)


def model() -> nn.Sequential:
    """Two layers."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 3))


def loss(net: nn.Module, seed: int, dtype: torch.dtype = torch.float16) -> Tensor:
    """Of a forward pass in ``dtype`` on random data, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randn(8, 6, generator=generator)
    with torch.autocast("cpu", dtype=dtype):
        return nn.functional.mse_loss(net(batch).float(), batch[:, :3].sin())


def plant(net: nn.Module, value: float) -> None:
    """Make the first element of the gradient of the last parameter this value."""
    gradient = list(net.parameters())[-1].grad
    assert gradient is not None
    gradient.view(-1)[0] = value


def train(
    step: Step,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = 40,
    dtype: torch.dtype = torch.float16,
    faults: dict[int, float] = FAULTS,
    **options: Any,
) -> list[float]:
    """The loss scale of every step; it begins so high that gradients overflow by themselves."""
    options = {"init_scale": 2.0**22, "growth_interval": 5} | options
    scaler = GradScaler("cpu", **options)
    scales = []
    for seed in range(steps):
        optimizer.zero_grad()
        scaler.scale(loss(net, seed, dtype)).backward()
        if seed in faults:
            plant(net, faults[seed])
        scales.append(scaler.get_scale())
        step(optimizer, scaler)
        scaler.update()
    return [*scales, scaler.get_scale()]


def alone(optimizer: torch.optim.Optimizer, scaler: GradScaler) -> None:
    """What torch does by itself."""
    scaler.step(optimizer)
