"""What has to be right before a step begins, on one rank or on many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.amp import unscaling
from gradcore.attachment import require_steppable

if TYPE_CHECKING:
    from torch.amp import GradScaler
    from torch.optim import Optimizer

    from gradcore.guard import Guard
    from gradcore.unscaled import Unscaled


def begun(
    guard: Guard, optimizer: Optimizer | None, scaler: GradScaler | None, *, steps: bool
) -> Unscaled:
    """What a scaler makes of the step of an optimizer, if that can be guarded.

    Args:
        guard: The guard.
        optimizer: The one that is going to step; None if that is not known.
        scaler: What scaled the loss.
        steps: Whether it is the guard that steps.

    Raises:
        DistributedError: The guard is one of many and there is an error: all ranks raise it.
        GradcoreError: The optimizer steps parameters that are not guarded, or has another guard.
        ScalerError: The scaler has scaled nothing yet.
        TypeError: It is no optimizer or no scaler, or needs a closure.
    """
    try:
        if steps:
            require_steppable(guard, optimizer)
        else:
            guard.parameters.cover(optimizer)
        return unscaling(scaler, optimizer, repairs=steps)
    except Exception as error:
        guard.across.refuse(guard, error)
        raise
