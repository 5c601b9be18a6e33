"""Small models in training, with faults planted in their gradients, for tests of the guard."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import gradients

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def model() -> nn.Sequential:
    """Three parameters of which every optimizer takes the first: ``0.weight``, 0.bias, 2.weight."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2, bias=False))


def backward(net: nn.Module, seed: int = 0) -> Tensor:
    """A loss on random data and its gradients; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    features = next(net.parameters()).shape[-1]
    net.zero_grad()
    loss = net(torch.randn(8, features, generator=generator)).square().mean()
    loss.backward()
    return loss.detach()


def plant(parameter: Tensor, *values: float) -> None:
    """Put these values at the start of a parameter's gradient."""
    gradient = parameter.grad
    assert gradient is not None
    for index, value in enumerate(values or (math.nan,)):
        gradient.view(-1)[index] = value


def freeze(value: Any) -> Any:
    """A copy of nested state that compares equal if and only if every bit is the same."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), gradients.bits(value)
    if isinstance(value, dict):
        return {key: freeze(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [freeze(item) for item in value]
    return value


def state(net: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Every bit of the parameters and of the optimizer's state."""
    return freeze([list(net.parameters()), optimizer.state_dict()])


def finite(net: nn.Module) -> bool:
    """No parameter holds a NaN or infinite number."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in net.parameters())


def set_gradients(parameters: Iterable[Tensor], *rows: list[float]) -> None:
    """Give each parameter the gradient with these elements."""
    for parameter, row in zip(parameters, rows, strict=True):
        parameter.grad = torch.tensor(row, dtype=parameter.dtype).reshape(parameter.shape)


def optimizers() -> Iterator[tuple[str, type[torch.optim.Optimizer], dict[str, Any]]]:
    """Every optimizer of torch that takes dense gradients, in every way it can be run."""
    options: dict[str, list[dict[str, Any]]] = {
        "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
        "Adam": [{}, {"amsgrad": True}],
        "RMSprop": [{"momentum": 0.9, "centered": True}],
    }
    for name, kind in sorted(vars(torch.optim).items()):
        if not inspect.isclass(kind) or not issubclass(kind, torch.optim.Optimizer):
            continue
        if name in {"Optimizer", "LBFGS", "SparseAdam"}:
            continue
        known = inspect.signature(kind).parameters
        ways: list[dict[str, Any]] = [{}]
        ways += [{"foreach": True}, {"foreach": False}] if "foreach" in known else []
        ways += [{"fused": True}] if "fused" in known else []
        for extra in options.get(name, [{}]):
            for way in ways:
                words = [name, *(key for key in extra), *(f"{k}={v}" for k, v in way.items())]
                yield " ".join(words), kind, {"lr": 0.05, **extra, **way}


class Seen:
    """A check and a sink that remembers what it was shown."""

    name = "seen"

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.closed = 0

    def __call__(self, report: Any, history: Any = ()) -> tuple[()]:
        """Remember a report; as a check, find nothing."""
        assert len(history) <= len(self.reports)
        self.reports.append(report)
        return ()

    def close(self) -> None:
        """Remember that this was called."""
        self.closed += 1
