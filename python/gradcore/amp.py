"""Mixed precision: what a `torch.amp.GradScaler` is asked, and what it is told.

It touches private names of torch: the books that a scaler keeps of optimizers; `taking` and
`dividing` have what it tells fused ones.
They are tried out first; where they are not as expected, public calls do with one pass more.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.amp import GradScaler

from gradcore.dividing import divisor
from gradcore.errors import ScalerError
from gradcore.plan import Propagate
from gradcore.taking import minds_found_inf, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.optim import Optimizer

    from gradcore.decision import Decision
    from gradcore.fetching import Fetched
    from gradcore.measuring import Measuring
    from gradcore.parameters import Parameters
    from gradcore.plan import Replace

LARGEST: Final = torch.finfo(torch.bfloat16).max
"""Gradients of every dtype but float16 hold numbers up to it."""


class Unscaled:
    """One step without a scaler, or with one that is switched off."""

    scale: float | None = None
    """What the loss was multiplied by."""

    factor: float = 1.0
    """What gradients have yet to be multiplied by."""

    together: bool = False
    """Whether every rank of a job has a scaler, all of which are to be told the same."""

    found_inf: Tensor | None = None
    """1 or 0 on the device, for an optimizer that is told whether to step; None for others."""

    divisor: Tensor | None = None
    """What an optimizer that clips divides gradients by; None where they are clipped already."""

    steps: Optimizer | None = None
    """The optimizer that `take` is going to step."""

    @property
    def can_tell(self) -> bool:
        """Whether it may be left to the optimizer not to step."""
        return self.steps is not None and minds_found_inf(self.steps)

    def take(self, optimizer: Optimizer) -> None:
        """Take the step, or tell the optimizer whether to."""
        take(optimizer, self.found_inf, self.divisor)

    def leave(self, tensors: list[Tensor], factor: float) -> bool:
        """Leave it to the optimizer to multiply all gradients, which is done if it is False."""
        self.divisor = divisor(self.steps, tensors, factor)
        return self.divisor is not None

    def begin(self, parameters: Parameters, measuring: Measuring) -> None:
        """See to it that ``factor`` unscales the gradients, before they are measured."""

    def skips(self, decision: Decision, host: Fetched, again: Callable[[], float]) -> bool:  # noqa: ARG002 - nothing to go by
        """Whether the step is to be skipped, whatever the policy says."""
        return False

    def tell(self) -> None:
        """Tell the scaler what was found, now that gradients are unscaled, or never will be."""

    def tell_stepped(self) -> None:
        """Tell the scaler that this was the optimizer's step, taken or not."""


class Unscaling(Unscaled):
    """One step of one optimizer under a scaler.

    ``factor`` is ``1 / scale`` rounded to float32, as the scaler has it, or 1 where gradients are
    unscaled already.

    Args:
        scaler: What scaled the loss.
        optimizer: Whose gradients they are.
        scale: The scale of the scaler.
        repairs: Whether it is the guard that steps, so that a repaired step can be taken.
    """

    def __init__(
        self, scaler: GradScaler, optimizer: Optimizer, scale: float, *, repairs: bool
    ) -> None:
        self.scale = scale
        self._scaler, self._optimizer, self._repairs = scaler, optimizer, repairs
        self._books = keeps_books(scaler)
        self._found = False

    def begin(self, parameters: Parameters, measuring: Measuring) -> None:
        """Leave unscaling to the pass to come, or have the scaler do it where that cannot be.

        Raises:
            GradcoreError: A parameter has a gradient that the optimizer does not step.
            ScalerError: The optimizer has stepped since the last ``update()``.
            ValueError: A gradient is float16, in which small numbers vanish when unscaled.
        """
        parameters.require_stepped()
        self._measuring = measuring
        stage = _state(self._scaler, self._optimizer)["stage"].name if self._books else "UNKNOWN"
        if stage == "STEPPED":
            raise ScalerError(
                f"This {type(self._optimizer).__name__} has stepped since the last update of the "
                "scaler. Call scaler.update() once at the end of every iteration."
            )
        if stage == "UNSCALED":
            return
        factor = float(np.float32(1.0 / self.scale)) if self.scale else 1.0
        small = any(
            t.grad is not None and t.grad.dtype is torch.float16 for t in parameters.tensors
        )
        # Multiplied by more than 1 a finite number may become infinite, and go unnoticed.
        if stage == "READY" and factor <= 1.0 and not small and _fits(measuring, factor):
            self.factor = factor
            return
        try:
            self._scaler.unscale_(self._optimizer)
        except RuntimeError as error:
            if "already been called on this optimizer" not in str(error):
                raise

    def skips(self, decision: Decision, host: Fetched, again: Callable[[], float]) -> bool:
        """Whether the scaler alone would skip the step, and no policy is to repair it.

        A scaler goes by NaN and infinity in gradients, by nothing else; what it found itself, in
        gradients that it unscaled, counts as well, unless it is one of many: each finds its own.
        """
        self._found = self._measuring.found(host, again)
        if self._books and self.factor == 1.0 and not self.together:
            flags = _state(self._scaler, self._optimizer)["found_inf_per_device"].values()
            self._found = self._found or any(bool(flag) for flag in flags)
        repaired = self._repairs and not isinstance(decision.repair, Propagate)
        return self._found and not repaired

    def tell(self) -> None:
        """Tell the scaler what was found, unless it has looked itself and is the only one."""
        stage = _state(self._scaler, self._optimizer)["stage"].name if self._books else "UNKNOWN"
        if stage == "READY" or (stage == "UNSCALED" and self.together):
            _write(self._scaler, self._optimizer, found=self._found)

    def tell_stepped(self) -> None:
        """Tell the scaler that this was the optimizer's step, taken or not."""
        if self._books:
            _write_stage(self._scaler, self._optimizer, "STEPPED")


def unscaling(scaler: GradScaler | None, optimizer: Optimizer | None, *, repairs: bool) -> Unscaled:
    """What a scaler makes of a step of an optimizer.

    Raises:
        TypeError: It is no scaler, or it is not known which optimizer steps.
        ScalerError: It has scaled nothing yet, or its scale has collapsed.
    """
    if scaler is None:
        step = Unscaled()
        step.steps = optimizer if repairs else None
        return step
    if not isinstance(scaler, GradScaler):
        raise TypeError(f"scaler must be a torch.amp.GradScaler; got a {type(scaler).__name__}.")
    if optimizer is None:
        raise TypeError(
            "A scaler knows gradients by their optimizer: call guard.apply(optimizer=optimizer, "
            "scaler=scaler)."
        )
    if not scaler.is_enabled():
        return Unscaled()
    if keeps_books(scaler) and scaler._scale is None:  # noqa: SLF001 - see above
        raise ScalerError(
            "The scaler has scaled no loss yet: call scaler.scale(loss).backward() in place of "
            "loss.backward()."
        )
    scale = scaler.get_scale()
    if not torch.finfo(torch.float32).tiny <= scale < float("inf"):
        raise ScalerError(
            f"The loss scale is {scale}, which nothing can be unscaled by. Gradients overflow "
            "whatever they are scaled with: look for the module that does it with "
            "gradcore.monitors.trace_nonfinite(model), and run it in float32."
        )
    return Unscaling(scaler, optimizer, scale, repairs=repairs)


def keeps_books(scaler: GradScaler) -> bool:
    """Whether a scaler keeps books that this module can read and write."""
    names = ("unscale_", "step", "update")
    own = all(getattr(type(scaler), name) is getattr(GradScaler, name) for name in names)
    return own and _as_expected()


@functools.cache
def _as_expected() -> bool:
    """Whether a scaler writes what is looked for, and goes by what is written; tried out once."""
    try:
        scaler = GradScaler("cpu", init_scale=4.0)
        optimizer = torch.optim.SGD([torch.zeros(1, device="cpu", requires_grad=True)])
        scaler.scale(torch.zeros((), device="cpu"))
        ready = _state(scaler, optimizer)["stage"].name == "READY"
        _write(scaler, optimizer, found=True)
        _write_stage(scaler, optimizer, "STEPPED")
        scaler.update()
        backed_off = scaler.get_scale() == 2.0  # noqa: PLR2004 - half of the first
        scaler.unscale_(optimizer)
        state = _state(scaler, optimizer)
        unscaled = state["stage"].name == "UNSCALED" and state["found_inf_per_device"] == {}
    except Exception:  # noqa: BLE001 - whatever it is, public calls are the answer
        return False
    return ready and backed_off and unscaled


def _state(scaler: GradScaler, optimizer: Optimizer) -> dict[str, Any]:
    """What a scaler has written down of an optimizer since its last update."""
    return scaler._per_optimizer_states[id(optimizer)]  # noqa: SLF001 - see above


def _write(scaler: GradScaler, optimizer: Optimizer, *, found: bool) -> None:
    """Write what `GradScaler.unscale_` would: 1 or 0, since fused optimizers know nothing else."""
    scale = scaler._scale  # noqa: SLF001 - see above
    assert scale is not None  # noqa: S101 - for mypy
    flag = torch.full((), float(found), dtype=torch.float32, device=scale.device)
    _state(scaler, optimizer)["found_inf_per_device"] = {scale.device: flag}
    _write_stage(scaler, optimizer, "UNSCALED")


def _write_stage(scaler: GradScaler, optimizer: Optimizer, name: str) -> None:
    state = _state(scaler, optimizer)
    state["stage"] = type(state["stage"])[name]


def _fits(measuring: Measuring, factor: float) -> bool:
    """Whether gradients hold what replaces elements of theirs before they are unscaled."""
    by: Replace | None = measuring.replacement
    return by is None or max(map(abs, (by.nan, by.posinf, by.neginf))) <= LARGEST * factor
