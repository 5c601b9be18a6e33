"""Guarding `optimizer.step()` itself, so that no other line of a training loop changes."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import torch

from gradcore.errors import GradcoreError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from gradcore.guard import Guard

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

ATTRIBUTE: Final = "_gradcore_attachment"
"""Where an optimizer holds its attachment, so that neither outlives the other; copies lack it."""


class Attachment:
    """The handle that `Guard.attach` returns."""

    def __init__(self, guard: Guard, optimizer: Optimizer) -> None:
        self.guard = guard
        self._optimizer = weakref.ref(optimizer)
        self._hook = optimizer.register_step_pre_hook(self._before_step)
        setattr(optimizer, ATTRIBUTE, self)
        guard.attached = True

    def remove(self) -> None:
        """Let the optimizer step by itself again; a second call does nothing."""
        self._hook.remove()
        optimizer = self._optimizer()
        if optimizer is not None and attachment_of(optimizer) is self:
            delattr(optimizer, ATTRIBUTE)
            self.guard.attached = False

    def _before_step(
        self, optimizer: Optimizer, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Arguments | None:
        if self.guard.stepping is optimizer:  # guard.step() has done it already
            return None
        if getattr(optimizer, "grad_scale", None) is not None:
            error = GradcoreError(
                "A GradScaler hands its scaled gradients to a fused optimizer, so they cannot be "
                "guarded in the step. Call guard.step(optimizer, scaler=scaler) in place of "
                "scaler.step(optimizer), or scaler.unscale_(optimizer) before it."
            )
            self.guard.across.refuse(self.guard, error)
            raise error
        # The optimizer itself is the first argument, a closure the second.
        if len(arguments) > 1 and arguments[1] is not None:
            closure = self._guarded(arguments[1], optimizer)
            return (arguments[0], closure, *arguments[2:]), keywords
        if keywords.get("closure") is not None:
            closure = self._guarded(keywords["closure"], optimizer)
            return arguments, {**keywords, "closure": closure}
        self.guard.apply(optimizer=optimizer)
        return None

    def _guarded(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        """A closure runs backward inside the step: there are no gradients before it."""

        def evaluate() -> Any:
            loss = closure()
            known = loss if isinstance(loss, (torch.Tensor, float)) else None
            self.guard.apply(loss=known, optimizer=optimizer)
            return loss

        return evaluate


def attachment_of(optimizer: Optimizer) -> Attachment | None:
    """The attachment of an optimizer, if it has one."""
    return getattr(optimizer, ATTRIBUTE, None)


def attach(guard: Guard, optimizer: Optimizer) -> Attachment:
    """One handle an optimizer.

    Raises:
        TypeError: It is no optimizer, or evaluates its closure several times a step.
        GradcoreError: Another guard is attached to it, or it steps what is not guarded.
    """
    require_one_evaluation(optimizer)
    existing = require_no_other(guard, optimizer)
    guard.parameters.cover(optimizer)
    return existing or Attachment(guard, optimizer)


def require_steppable(guard: Guard, optimizer: Optimizer | None) -> None:
    """Raise unless this guard can step the optimizer from outside."""
    optimizer = require_one_evaluation(optimizer)
    require_no_other(guard, optimizer)
    require_no_closure(optimizer)
    guard.parameters.cover(optimizer)


def require_no_other(guard: Guard, optimizer: Optimizer) -> Attachment | None:
    """The attachment of this very guard, if there is one; `GradcoreError` if another has one."""
    existing = attachment_of(optimizer)
    if existing is not None and existing.guard is not guard:
        raise GradcoreError(
            f"This {type(optimizer).__name__} is guarded by another guard already. Call remove() "
            "on the handle of the other one first."
        )
    return existing


def require_one_evaluation(optimizer: Optimizer | None) -> Optimizer:
    """Raise `TypeError` for what is no optimizer, or evaluates its closure several times a step."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"A guard steps an optimizer; got a {type(optimizer).__name__}. Pass the "
            "torch.optim.Optimizer that holds the parameters."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise TypeError(
            "LBFGS evaluates the loss several times within one step, so a step cannot be guarded "
            "from outside. Call guard.apply(loss=loss) at the end of its closure instead."
        )
    return optimizer


def require_no_closure(optimizer: Optimizer) -> None:
    """Raise `TypeError` for an optimizer whose ``step`` cannot be called without a closure."""
    if needs_closure(type(optimizer).step):
        raise TypeError(
            f"{type(optimizer).__name__}.step() cannot be called without a closure, so it cannot "
            "be guarded from outside. Call guard.attach(optimizer), which guards its closure."
        )


@functools.cache
def needs_closure(step: Callable[..., object]) -> bool:
    """Whether a ``step`` has a closure without a default."""
    closure = inspect.signature(step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
