"""Mixed precision: what a `torch.amp.GradScaler` is asked, and what it is told.

`books` has the private names of torch that are touched for it; `taking` and `dividing` have what
fused optimizers are told. On a device a step goes by the scale before the host knows it: see
`scale_on_device`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.amp import GradScaler

from gradcore.books import keeps_books, scale_of, state_of, write, write_stage
from gradcore.errors import ScalerError
from gradcore.plan import Propagate
from gradcore.scale_on_device import LARGEST, SMALLEST, ScaleOnDevice
from gradcore.taking import minds_found_inf
from gradcore.unscaled import Unscaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.optim import Optimizer

    from gradcore.decision import Decision
    from gradcore.fetching import Fetched
    from gradcore.measuring import Measuring
    from gradcore.parameter_table import Table
    from gradcore.parameters import Parameters
    from gradcore.plan import Replace
    from gradcore.statistics import Statistics


class Unscaling(Unscaled):
    """One step of one optimizer under a scaler.

    ``factor`` is ``1 / scale`` rounded to float32, as the scaler has it, or 1 where gradients are
    unscaled already.

    Args:
        scaler: What scaled the loss.
        optimizer: Whose gradients they are.
        repairs: Whether it is the guard that steps, so that a repaired step can be taken.
    """

    def __init__(self, scaler: GradScaler, optimizer: Optimizer, *, repairs: bool) -> None:
        self._scaler, self._optimizer, self._repairs = scaler, optimizer, repairs
        self._books = keeps_books(scaler)
        self._found = self._impossible = False
        self._there: ScaleOnDevice | None = None

    @property
    def can_tell(self) -> bool:
        """Whether it may be left to the optimizer not to step."""
        return self._repairs and minds_found_inf(self._optimizer)

    def begin(self, parameters: Parameters, measuring: Measuring) -> None:
        """Leave unscaling to the pass to come, or have the scaler do it where that cannot be.

        Raises:
            GradcoreError: A parameter has a gradient that the optimizer does not step.
            ScalerError: The optimizer has stepped since the last ``update()``, or the scale has
                collapsed.
            ValueError: A gradient is float16, in which small numbers vanish when unscaled.
        """
        parameters.require_stepped()
        self._measuring = measuring
        stage = self._stage()
        if stage == "STEPPED":
            raise ScalerError(
                f"This {type(self._optimizer).__name__} has stepped since the last update of the "
                "scaler. Call scaler.update() once at the end of every iteration."
            )
        small = any(
            t.grad is not None and t.grad.dtype is torch.float16 for t in parameters.tensors
        )
        scale = scale_of(self._scaler) if self._books and not self.together else None
        scaled = stage == "READY"
        bare = measuring.overflow == float("inf") and measuring.replacement is None
        if scale is not None and not scale.is_cpu and (bare or not scaled) and not small:
            flags = [] if scaled else self._flags()
            self._there = ScaleOnDevice(scale, flags, scaled=scaled)
            return
        self.scale = usable(self._scaler.get_scale())
        if stage == "UNSCALED":
            return
        factor = float(np.float32(1.0 / self.scale))
        # Multiplied by more than 1 a finite number may become infinite, and go unnoticed.
        if scaled and factor <= 1.0 and not small and _fits(measuring, factor):
            self.factor = factor
            return
        try:
            self._scaler.unscale_(self._optimizer)
        except RuntimeError as error:
            if "already been called on this optimizer" not in str(error):
                raise

    def unscaled(self, statistics: Statistics) -> Statistics:
        """Statistics of gradients as they are going to be unscaled."""
        if self._there is None:
            return super().unscaled(statistics)
        told = self._there.unscaled(statistics)
        self.to_learn = self._there.told()
        return told

    def queues(self, decision: Decision) -> bool:  # noqa: ARG002 - any step may have to be skipped
        """Whether the host need not know what was found before the optimizer steps."""
        return self._there is not None and self.can_tell

    def folds(self) -> float | Tensor:
        """What gradients have yet to be multiplied by, on the device where only that knows."""
        return self.factor if self._there is None else self._there.factor

    def queued(self, decision: Decision, statistics: Statistics) -> Tensor | None:
        """The same as `skips` and `tell`, without waiting: 0-d bool, None for never."""
        assert self._there is not None  # noqa: S101 - see `queues`
        found = self._there.found(statistics)
        if self._stage() == "READY":
            write(self._scaler, self._optimizer, found=found)
        skip = self._there.impossible if self._takes_repaired(decision) else found
        return skip if decision.skip is None else decision.skip | skip

    def learn(self, numbers: Table | None) -> None:
        """Take in ``to_learn``, now that it is on the host.

        Raises:
            ScalerError: The scale has collapsed; nothing was changed.
        """
        if self._there is None or self.to_learn is None:
            return
        # Not sent along where there were no numbers on the device to send.
        scale, found, impossible = (self.to_learn if numbers is None else numbers).tolist()
        self.scale = usable(scale)
        self._found, self._impossible = bool(found), bool(impossible)
        if self._stage() == "READY":
            self.factor = float(np.float32(1.0 / scale))

    def skips(self, decision: Decision, host: Fetched, again: Callable[[], float]) -> bool:
        """Whether the scaler alone would skip the step, and no policy is to repair it.

        A scaler goes by NaN and infinity in gradients, by nothing else; what it found itself, in
        gradients that it unscaled, counts as well, unless it is one of many: each finds its own.
        """
        found = self._measuring.found(host, again)
        self._found = self._found or found or self._impossible
        if self._books and self._there is None and self.factor == 1.0 and not self.together:
            self._found = self._found or any(bool(flag) for flag in self._flags())
        return self._impossible or (self._found and not self._takes_repaired(decision))

    def tell(self) -> None:
        """Tell the scaler what was found, unless it has looked itself and is the only one."""
        stage = self._stage()
        if stage == "READY" or (stage == "UNSCALED" and self.together):
            write(self._scaler, self._optimizer, found=self._found)

    def tell_stepped(self) -> None:
        """Tell the scaler that this was the optimizer's step, taken or not."""
        if self._books:
            write_stage(self._scaler, self._optimizer, "STEPPED")

    def _takes_repaired(self, decision: Decision) -> bool:
        return self._repairs and not isinstance(decision.repair, Propagate)

    def _stage(self) -> str:
        if not self._books:
            return "UNKNOWN"
        name: str = state_of(self._scaler, self._optimizer)["stage"].name
        return name

    def _flags(self) -> list[Tensor]:
        return [*state_of(self._scaler, self._optimizer)["found_inf_per_device"].values()]


def unscaling(scaler: GradScaler | None, optimizer: Optimizer | None, *, repairs: bool) -> Unscaled:
    """What a scaler makes of a step of an optimizer.

    Raises:
        TypeError: It is no scaler, or it is not known which optimizer steps.
        ScalerError: It has scaled nothing yet.
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
    if keeps_books(scaler) and scale_of(scaler) is None:
        raise ScalerError(
            "The scaler has scaled no loss yet: call scaler.scale(loss).backward() in place of "
            "loss.backward()."
        )
    return Unscaling(scaler, optimizer, repairs=repairs)


def usable(scale: float) -> float:
    """The scale, if something can be divided by it.

    Raises:
        ScalerError: It has collapsed.
    """
    if not SMALLEST <= scale < float("inf"):
        raise ScalerError(
            f"The loss scale is {scale}, which nothing can be unscaled by. Gradients overflow "
            "whatever they are scaled with: look for the module that does it with "
            "gradcore.monitors.trace_nonfinite(model), and run it in float32."
        )
    return scale


def _fits(measuring: Measuring, factor: float) -> bool:
    """Whether gradients hold what replaces elements of theirs before they are unscaled."""
    by: Replace | None = measuring.replacement
    return by is None or max(map(abs, (by.nan, by.posinf, by.neginf))) <= LARGEST * factor
