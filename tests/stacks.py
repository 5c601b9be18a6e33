"""Stacks of blocks and norms of their gradients, worked out in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

NORMS: dict[str, Callable[[np.ndarray], float]] = {
    "l2": lambda g: math.sqrt(math.fsum(np.square(g).ravel())),
    "l1": lambda g: math.fsum(np.abs(g).ravel()),
    "linf": lambda g: np.abs(g).max(),
    "mean": lambda g: math.fsum(np.abs(g).ravel()) / g.size,
}


def stack(depth: int = 4, width: int = 6) -> nn.ModuleList:
    """Blocks of a linear layer and tanh, float64."""
    return nn.ModuleList(
        nn.Sequential(nn.Linear(width, width), nn.Tanh()).double() for _ in range(depth)
    )


def outputs_of(blocks: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """What each block returns when it gets what the one before returned."""
    outputs = []
    for block in blocks:
        x = block(x)
        outputs.append(x)
    return outputs


def data(width: int = 6) -> Tensor:
    """A batch of five."""
    return torch.randn(5, width, dtype=torch.float64)
