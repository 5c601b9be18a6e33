"""Models that a fault can be planted in, for tests of what finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gradcore.monitors import NonfiniteEvent, trace_nonfinite

Fault = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """A residual block whose own code can be given a fault, between two of its layers."""

    def __init__(self, fault: Fault = lambda h: h) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.inner = nn.Linear(8, 8)
        self.activation = nn.ReLU(inplace=True)
        self.outer = nn.Linear(8, 8)
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, features]``."""
        h = self.activation(self.inner(self.norm(x)))
        return x + self.outer(self.fault(h))


class Model(nn.Module):
    """An embedding, three residual blocks with a fault each, or none, and a head."""

    def __init__(self, *faults: tuple[Fault, ...] | tuple[()]) -> None:
        super().__init__()
        self.embedding = nn.Linear(4, 8)
        self.blocks = nn.ModuleList(Block(*fault) for fault in (faults or ((), (), ())))
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, features]``."""
        x = self.embedding(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def faulty(fault: Fault) -> Model:
    """A model with a fault in its second block."""
    return Model((), (fault,), ())


def data() -> Tensor:
    """A batch of five."""
    return torch.randn(5, 4)


def traced(
    model: nn.Module,
    x: Tensor | None = None,
    loss: Fault = lambda y: y.square().sum(),
    **options: Any,
) -> NonfiniteEvent | None:
    """What one step of the model makes a tracer find."""
    with trace_nonfinite(model, action="log", **options) as tracer:
        loss(model(data() if x is None else x)).backward()
    return tracer.event


def log_of_zero(h: Tensor) -> Tensor:
    """Infinite forward."""
    return (h * 0.0).log()


def root_of_zero(h: Tensor) -> Tensor:
    """Finite forward, infinite backward."""
    return (h * 0.0).sqrt()
