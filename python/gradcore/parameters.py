"""From what a caller guards to parameters with names: each once, in the order of the model."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from gradcore import core

if TYPE_CHECKING:
    from torch.optim import Optimizer

Target: TypeAlias = (
    "nn.Module | Optimizer | Tensor | Iterable[Tensor] | Iterable[tuple[str, Tensor]]"
)


class Parameters:
    """Parameters and their names.

    Args:
        target: A module, an optimizer, a tensor, tensors, or (name, tensor) pairs.  Names come from
            the module, the pairs, or the optimizer's ``param_names``; else they are ``param.0`` …
            An optimizer is only watched, not kept alive, and groups added to it later are seen.

    Raises:
        TypeError: ``target`` holds something else.
        ValueError: It holds nothing.
    """

    def __init__(self, target: Target) -> None:
        self._optimizer: weakref.ref[Optimizer] | None = None
        self._groups: list[int] = []
        if isinstance(target, torch.optim.Optimizer):
            self._optimizer = weakref.ref(target)
            self.refresh()
        else:
            self._take(_named(target))

    names: tuple[str, ...]
    tensors: list[Tensor]

    def refresh(self) -> None:
        """See parameters that were added to the optimizer."""
        optimizer = self._optimizer() if self._optimizer else None
        if optimizer is None:
            return
        groups = [len(group["params"]) for group in optimizer.param_groups]
        if groups != self._groups:
            self._take(_of_optimizer(optimizer))
            self._groups = groups

    def _take(self, named: list[tuple[str, Tensor]]) -> None:
        if not named:
            raise ValueError("There is nothing to guard: the target holds no parameters.")
        seen: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in named:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"Parameters must be tensors; {name!r} is a {type(tensor).__name__}."
                )
            seen.setdefault(id(tensor), (name, tensor))
        self.names = tuple(name for name, _ in seen.values())
        self.tensors = [tensor for _, tensor in seen.values()]

    def explain(self, error: TypeError) -> TypeError:
        """The error that native code raised, with the name of the parameter it was about."""
        for name, tensor in zip(self.names, self.tensors, strict=True):
            try:
                if tensor.grad is not None:
                    core.check_supported(tensor.grad)
            except TypeError as cause:
                return TypeError(f"The gradient of {name!r} cannot be measured: {cause}")
        return error


def listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """One tensor, or several, as a list."""
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _named(target: Target) -> list[tuple[str, Tensor]]:
    if isinstance(target, nn.Module):
        return list(target.named_parameters())
    if not isinstance(target, Iterable):
        raise TypeError(
            "A guard takes a module, an optimizer, parameters, or (name, parameter) pairs; got "
            f"{type(target).__name__}."
        )
    items = [target] if isinstance(target, Tensor) else list(target)
    return [
        item if isinstance(item, tuple) else (f"param.{i}", item) for i, item in enumerate(items)
    ]


def _of_optimizer(optimizer: Optimizer) -> list[tuple[str, Tensor]]:
    named: list[tuple[str, Tensor]] = []
    for group in optimizer.param_groups:
        tensors = group["params"]
        names = group.get("param_names")
        if names is None:
            names = [f"param.{len(named) + i}" for i in range(len(tensors))]
        named.extend(zip(names, tensors, strict=True))
    return named
