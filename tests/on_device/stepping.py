"""A model on the device, the same on the CPU, and guarded steps of both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradcore import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore import Report

FUSED = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, fused=True),
}
PLAIN = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam, capturable": lambda p: torch.optim.Adam(p, lr=0.1, capturable=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
}


def model_of(device: torch.device | str) -> nn.Module:
    """The same model for every device."""
    with torch.device("cpu"):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))
    return model.to(device)


class Run:
    """A guard, its model and its optimizer; the gradients of step k are the same everywhere."""

    def __init__(
        self, device: torch.device | str, optimizer: Callable[..., Any], **options: Any
    ) -> None:
        self.device, self.model = device, model_of(device)
        self.optimizer = optimizer(list(self.model.parameters()))
        self.guard = Guard(self.model, **options)
        self.count = 0

    def backward(self, *faults: float) -> Tensor:
        """Gradients of a new batch, the first elements of the first of them ``faults``."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.plant(*faults)
        return loss.detach()

    def loss(self) -> Tensor:
        """Of a new batch."""
        with torch.device("cpu"):
            batch = torch.randn(8, 6, generator=torch.Generator().manual_seed(self.count))
        self.count += 1
        return self.model(batch.to(self.device)).square().mean()

    def plant(self, *faults: float) -> None:
        """Make ``faults`` the first elements of the first gradient."""
        first = next(self.model.parameters()).grad
        assert first is not None
        for place, fault in enumerate(faults):
            first[0, place] = fault

    def step(self, *faults: float) -> Report:
        """A whole step."""
        loss = self.backward(*faults)
        return self.guard.step(self.optimizer, loss=loss)

    def parameters(self) -> list[Tensor]:
        """Copies on the CPU."""
        return [parameter.detach().cpu().clone() for parameter in self.model.parameters()]

    def state(self) -> dict[str, Any]:
        """A copy of the optimizer's, on the CPU."""
        return {
            index: {name: torch.as_tensor(value).cpu().clone() for name, value in state.items()}
            for index, state in self.optimizer.state_dict()["state"].items()
        }


class Kept:
    """A sink that keeps what it is shown."""

    name = "kept"

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.closed_after: int | None = None

    def __call__(self, report: Report) -> None:
        self.steps.append(report.step)

    def close(self) -> None:
        """Note how many reports came before."""
        self.closed_after = len(self.steps)


class Wrong:
    """A strategy that multiplies by what it may not."""

    name = "wrong"

    def __call__(self, statistics: Any) -> Any:
        from gradcore.plan import Scale  # noqa: PLC0415 - only here

        return Scale(statistics.norm.new_full((), 1.5))


def same(one: Any, other: Any) -> bool:
    """Whether nested states hold the same numbers, bit for bit."""
    if isinstance(one, Tensor):
        return torch.equal(one.cpu(), other.cpu())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


NAN, INF = math.nan, math.inf
