"""Training goes back to the last snapshot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore import plan
from gradcore.validation import require_count, require_threshold

if TYPE_CHECKING:
    import torch

    from gradcore.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Restore:
    """Roll parameters, buffers and optimizer state back where gradients or loss are not finite.

    The step is not taken: the guard writes its last snapshot back, in place and bit for bit, and
    leaves gradients as for `Skip`.  Snapshots are taken before the guard's first step and after
    every ``snapshot_every`` trusted steps, and only while all that they would hold is finite.  They
    hold the parameters that train, the buffers of a module that is guarded (running statistics can
    be poisoned too; an infinite buffer is taken for a mask), and ``optimizer.state`` of the
    optimizers that are known, and take as much memory as these: ``Guard.snapshot_bytes``, which is
    logged.  Where no optimizer is known, in ``Guard.apply()`` without one, parameters and buffers
    alone go back.

    A rollback undoes up to ``snapshot_every`` steps, so it is an answer to faults that are rare and
    poison the model; where they are routine, as overflows in float16 training with a loss scale,
    ask for ``"skip"`` or ``"adaptive"``.

    What goes on: the memory of strategies, counters, learning rates and whatever else is in
    ``param_groups``, schedulers, random numbers, and the order of the data, so that the batch that
    did it does not come again.

    Args:
        overflow: Larger magnitudes are treated like infinite ones, > 0.
        snapshot_every: Trusted steps between snapshots, >= 1.
        device: Where snapshots are held, such as ``"cpu"``; None for the devices of the parameters.

    Raises:
        ValueError: ``overflow`` is NaN, zero or negative, or ``snapshot_every`` no whole number.
    """

    name: ClassVar[str] = "restore"

    overflow: float = math.inf
    snapshot_every: int = 100
    device: str | torch.device | None = None

    def __post_init__(self) -> None:
        require_threshold("overflow", self.overflow)
        require_count("snapshot_every", self.snapshot_every)

    def __call__(self, statistics: Statistics) -> plan.Restore:
        return plan.Restore(statistics.untrusted)
