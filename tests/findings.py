"""Small real models in training, what a check says of them, and the same numbers by other means."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import gradcore

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Run:
    """What was seen in a run, step by step."""

    reports: list[gradcore.Report] = field(default_factory=list)

    norms: list[dict[str, float | None]] = field(default_factory=list)
    """Of each parameter's gradient before the step, by torch in float64; None for no gradient."""

    @property
    def found(self) -> list[tuple[int, gradcore.Finding]]:
        """Every finding with the step it is of."""
        return [(report.step, each) for report in self.reports for each in report.findings]

    @property
    def steps(self) -> list[tuple[int, str]]:
        """Steps and severities of the findings."""
        return [(step, each.severity) for step, each in self.found]

    @property
    def joint(self) -> list[float]:
        """The joint norm of each step."""
        return [math.hypot(*(norm or 0.0 for norm in norms.values())) for norms in self.norms]


def train(
    net: nn.Module,
    loss_of: Callable[[int], Tensor | None],
    steps: int,
    checks: Any,
    *,
    lr: float = 0.01,
    **options: Any,
) -> Run:
    """Plain SGD through a guard with these checks; ``loss_of(step)`` None for no backward."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    guard = gradcore.Guard(net, checks=checks, **options)
    run = Run()
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of(step)
        if loss is not None:
            loss.backward()
        run.norms.append({name: norm_of(tensor.grad) for name, tensor in net.named_parameters()})
        run.reports.append(guard.step(optimizer))
    return run


def norm_of(tensor: Tensor | None) -> float | None:
    """Euclidean norm in float64."""
    return None if tensor is None else float(torch.linalg.vector_norm(tensor.detach().double()))


def regression(net: nn.Module, features: int = 4) -> Callable[[int], Tensor]:
    """Fit the sum of the inputs: a new batch every step, the same for the same step."""

    def loss_of(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(32, features, generator=generator)
        return (net(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    return loss_of


def network(activation: type[nn.Module] = nn.Tanh, depth: int = 2, width: int = 8) -> nn.Sequential:
    """A multilayer perceptron from 4 features to 1: layers ``0``, ``2``, ``4`` and on."""
    torch.manual_seed(1)
    layers: list[nn.Module] = [nn.Linear(4, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 1))
