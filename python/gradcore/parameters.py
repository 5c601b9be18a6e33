"""From what a caller guards to parameters with names: each once, in the order of the model."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from gradcore import core
from gradcore.errors import GradcoreError
from gradcore.rates import Groups, Rates, rate_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

NAMED = 5
"""Parameters named in one message at most."""

Target: TypeAlias = (
    "nn.Module | Optimizer | Tensor | Iterable[Tensor] | Iterable[tuple[str, Tensor]]"
)


class Parameters:
    """Parameters and their names.

    Args:
        target: A module, an optimizer, a tensor, tensors, or (name, tensor) pairs.  Names come from
            the module, the pairs, or the optimizer's ``param_names``; else they are ``param.0`` …
            An optimizer is only watched, not kept alive, and groups added to it later are seen;
            what is added to a module later is seen when an optimizer steps it.
        may_be_empty: It may hold nothing, as one rank of several may.

    Raises:
        TypeError: ``target`` holds something else.
        ValueError: It holds nothing, and may not.
    """

    def __init__(self, target: Target, *, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty
        self._optimizer: weakref.ref[Optimizer] | None = None
        self._module = target if isinstance(target, nn.Module) else None
        self._covered: list[Tensor] = []
        self._groups: Groups | None = None
        if isinstance(target, torch.optim.Optimizer):
            self._optimizer = weakref.ref(target)
            self._take(_of_optimizer(target))
        else:
            self._take(_named(target))

    names: tuple[str, ...]
    tensors: list[Tensor]

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer that is guarded, if it is one and still lives."""
        return self._optimizer() if self._optimizer else None

    @property
    def buffers(self) -> dict[str, Tensor]:
        """The buffers of the module that is guarded, if it is one, by their names."""
        return {} if self._module is None else dict(self._module.named_buffers())

    def refresh(self) -> None:
        """See parameters that were added to the optimizer, or replaced in it."""
        optimizer = self.optimizer
        if optimizer is not None and not same(tensors_of(optimizer), self._covered):
            self._take(_of_optimizer(optimizer))
            self._covered = tensors_of(optimizer)

    def renew(self) -> None:
        """See parameters that were added to what is guarded, or replaced in it, a module too."""
        self.refresh()
        if self._module is not None:
            self._take(_named(self._module))

    def cover(self, optimizer: Optimizer | None) -> None:
        """Make sure that everything ``optimizer`` steps is guarded, which a look at ids tells.

        Where it is not known, see parameters that were added to the one guarded.

        Raises:
            GradcoreError: It steps parameters that are not guarded.
        """
        if optimizer is None:
            self.refresh()
            return
        groups = optimizer.param_groups
        tensors = groups[0]["params"] if len(groups) == 1 else tensors_of(optimizer)
        if same(tensors, self._covered):
            return
        self.renew()
        guarded = {id(tensor) for tensor in self.tensors}
        missing = [name for name, tensor in _of_optimizer(optimizer) if id(tensor) not in guarded]
        if missing:
            raise GradcoreError(
                f"{type(optimizer).__name__} steps {len(missing)} parameters that are not guarded: "
                f"{', '.join(missing[:NAMED])}{' …' if len(missing) > NAMED else ''}. Make the "
                "guard for the optimizer, or for a module that holds them all."
            )
        self._covered = list(tensors)

    def require_stepped(self) -> None:
        """Raise `GradcoreError` for a gradient of a parameter that was not covered last.

        Whether it is scaled cannot be told: a scaler knows gradients by their optimizer.
        """
        if same(self._covered, self.tensors):
            return
        stepped = {id(tensor) for tensor in self._covered}
        named = zip(self.names, self.tensors, strict=True)
        others = [name for name, t in named if t.grad is not None and id(t) not in stepped]
        if others:
            raise GradcoreError(
                f"{len(others)} guarded parameters that the optimizer does not step have gradients:"
                f" {', '.join(others[:NAMED])}{' …' if len(others) > NAMED else ''}. Whether they "
                "are scaled is not known. Make a guard for each optimizer: Guard(optimizer)."
            )

    def rates(self, optimizer: Optimizer | None = None) -> Rates | None:
        """Learning rates as they are now; None if it is unknown which optimizer steps.

        Args:
            optimizer: The one that is going to step, covered before; if not given, the one that is
                guarded.
        """
        optimizer = optimizer or self.optimizer
        if optimizer is None:
            return None
        sizes = [len(group["params"]) for group in optimizer.param_groups]
        if self._groups is None or not self._groups.hold(self._covered, self.tensors, sizes):
            self._groups = Groups(self._covered, self.tensors, sizes)
        return Rates([rate_of(group) for group in optimizer.param_groups], self._groups)

    def _take(self, named: list[tuple[str, Tensor]]) -> None:
        if not named and not self._may_be_empty:
            raise ValueError(
                "There is nothing to guard: the target holds no parameters. On one rank of a "
                "pipeline that holds none say who decides together: process_group=."
            )
        seen: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in named:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"Parameters must be tensors; {name!r} is a {type(tensor).__name__}."
                )
            seen.setdefault(id(tensor), (name, tensor))
        self.names = tuple(name for name, _ in seen.values())
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"Names of parameters must differ; {twice!r} names two of them.")
        self.tensors = [tensor for _, tensor in seen.values()]

    def explain(self, error: TypeError) -> TypeError:
        """The error that native code raised, with the name of the parameter it was about."""
        return explained(error, self.names, self.tensors)


def explained(error: TypeError, names: Iterable[str], tensors: list[Tensor]) -> TypeError:
    """An error of native code about some parameters, with the name of the one it was about."""
    named = tuple(names)
    gradients = [tensor.grad for tensor in tensors]
    for what, looked_at in (("gradient of", gradients), ("parameter", tensors)):
        for name, tensor in zip(named, looked_at, strict=True):
            try:
                if tensor is not None:
                    core.check_supported(tensor)
            except TypeError as cause:
                return TypeError(f"The {what} {name!r} cannot be measured: {cause}")
    return error


def tensors_of(optimizer: Optimizer) -> list[Tensor]:
    """All parameters of an optimizer, in the order of its groups."""
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


def listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """One tensor, or several, as a list."""
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether two lists hold the very same tensors in the same order."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _named(target: Target) -> list[tuple[str, Tensor]]:
    if isinstance(target, nn.Module):
        return list(target.named_parameters())
    if not isinstance(target, Iterable):
        raise TypeError(
            "A guard takes a module, an optimizer, parameters, or (name, parameter) pairs; got "
            f"{type(target).__name__}."
        )
    items = [target] if isinstance(target, Tensor) else list(target)
    named = [
        item if isinstance(item, tuple) else (f"param.{i}", item) for i, item in enumerate(items)
    ]
    for pair in named:
        if len(pair) != 2 or not isinstance(pair[0], str):  # noqa: PLR2004 - name and parameter
            kinds = ", ".join(type(part).__name__ for part in pair)
            raise TypeError(f"Pairs must be (name, parameter); got one of ({kinds}).")
    return named


def _of_optimizer(optimizer: Optimizer) -> list[tuple[str, Tensor]]:
    named: list[tuple[str, Tensor]] = []
    for group in optimizer.param_groups:
        tensors = group["params"]
        names = group.get("param_names")
        if names is None:
            names = [f"param.{len(named) + i}" for i in range(len(tensors))]
        named.extend(zip(names, tensors, strict=True))
    return named
