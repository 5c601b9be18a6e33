"""One step without a scaler: what `gradcore.amp` makes of one with a scaler differs from this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.dividing import divisor
from gradcore.taking import minds_found_inf, take
from gradcore.unscaling import unscaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.optim import Optimizer

    from gradcore.decision import Decision
    from gradcore.fetching import Fetched
    from gradcore.measuring import Measuring
    from gradcore.parameter_table import Table
    from gradcore.parameters import Parameters
    from gradcore.statistics import Statistics


class Unscaled:
    """One step without a scaler, or with one that is switched off."""

    scale: float | None = None
    """What the loss was multiplied by, once the host knows it."""

    factor: float = 1.0
    """What gradients have yet to be multiplied by, once the host knows it; until then 1."""

    together: bool = False
    """Whether every rank of a job has a scaler, all of which are to be told the same."""

    found_inf: Tensor | None = None
    """1 or 0 on the device, for an optimizer that is told whether to step; None for others."""

    divisor: Tensor | None = None
    """What an optimizer that clips divides gradients by; None where they are clipped already."""

    steps: Optimizer | None = None
    """The optimizer that `take` is going to step."""

    to_learn: Tensor | None = None
    """What the host has yet to `learn`; float64, on the device."""

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

    def unscaled(self, statistics: Statistics) -> Statistics:
        """Statistics of gradients as they are going to be unscaled."""
        return unscaled(statistics, self.factor)

    def queues(self, decision: Decision) -> bool:
        """Whether the host need not know what was found before the optimizer steps."""
        return decision.skip is None or self.can_tell

    def folds(self) -> float | Tensor:
        """What gradients have yet to be multiplied by, on the device where only that knows."""
        return self.factor

    def queued(self, decision: Decision, statistics: Statistics) -> Tensor | None:  # noqa: ARG002 - nothing to go by
        """The same as `skips` and `tell`, without waiting: 0-d bool, None for never."""
        return decision.skip

    def learn(self, numbers: Table | None) -> None:
        """Take in ``to_learn``, now that it is on the host."""

    def skips(self, decision: Decision, host: Fetched, again: Callable[[], float]) -> bool:  # noqa: ARG002 - nothing to go by
        """Whether the step is to be skipped, whatever the policy says."""
        return False

    def tell(self) -> None:
        """Tell the scaler what was found, now that gradients are unscaled, or never will be."""

    def tell_stepped(self) -> None:
        """Tell the scaler that this was the optimizer's step, taken or not."""
