"""Guarding `optimizer.step()` itself, so that no other line of a training loop changes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from gradcore.errors import GradcoreError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from gradcore.guard import Guard

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Attachment:
    """The handle that `Guard.attach` returns."""

    def __init__(self, guard: Guard, optimizer: Optimizer) -> None:
        self.guard = guard
        self._optimizer = weakref.ref(optimizer)
        self._hook = optimizer.register_step_pre_hook(self._before_step)

    def remove(self) -> None:
        """Let the optimizer step by itself again; a second call does nothing."""
        self._hook.remove()
        optimizer = self._optimizer()
        if optimizer is not None and _attached.get(optimizer) is self:
            del _attached[optimizer]

    def _before_step(
        self, _: Optimizer, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Arguments | None:
        if self.guard.stepping:  # guard.step() has done it already
            return None
        # The optimizer itself is the first argument, a closure the second.
        if len(arguments) > 1 and arguments[1] is not None:
            return (arguments[0], self._guarded(arguments[1]), *arguments[2:]), keywords
        if keywords.get("closure") is not None:
            return arguments, {**keywords, "closure": self._guarded(keywords["closure"])}
        self.guard.apply()
        return None

    def _guarded(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """A closure runs backward inside the step: there are no gradients before it."""

        def evaluate() -> Any:
            loss = closure()
            self.guard.apply(loss=loss if isinstance(loss, torch.Tensor) else None)
            return loss

        return evaluate


_attached: weakref.WeakKeyDictionary[Optimizer, Attachment] = weakref.WeakKeyDictionary()


def attach(guard: Guard, optimizer: Optimizer) -> Attachment:
    """One handle an optimizer.

    Raises:
        TypeError: The optimizer evaluates its closure several times a step.
        GradcoreError: Another guard is attached to it.
    """
    require_one_evaluation(optimizer)
    existing = _attached.get(optimizer)
    if existing is None:
        existing = _attached[optimizer] = Attachment(guard, optimizer)
    elif existing.guard is not guard:
        raise GradcoreError(
            f"This {type(optimizer).__name__} is guarded by another guard already. Call remove() "
            "on the handle of the other one first."
        )
    return existing


def require_one_evaluation(optimizer: Optimizer) -> None:
    """Raise `TypeError` for an optimizer that evaluates its closure several times a step."""
    if isinstance(optimizer, torch.optim.LBFGS):
        raise TypeError(
            "LBFGS evaluates the loss several times within one step, so a step cannot be guarded "
            "from outside. Call guard.apply(loss=loss) at the end of its closure instead."
        )
