"""A guard in a loop of Hugging Face Accelerate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.errors import GradcoreError
from gradcore.extras import require_extra

if TYPE_CHECKING:
    from torch import Tensor

    from gradcore.guard import Guard
    from gradcore.report import Report

_accelerate: Any = require_extra("accelerate", "accelerate")


def step(
    accelerator: Any, guard: Guard, optimizer: Any, *, loss: Tensor | float | None = None
) -> Report | None:
    """Guard and take one step, in place of ``optimizer.step()`` and ``clip_grad_norm_``.

    Gradients are unscaled in the same pass.  Accelerate's own step follows, after a skip without
    gradients, so that its scaler and scheduler see every step.

    Args:
        accelerator: The `accelerate.Accelerator`.
        guard: For the module, or what the optimizer steps.
        optimizer: As ``accelerator.prepare()`` returned it.
        loss: The loss; a non-finite one makes the step a non-finite one.

    Returns:
        The report; None while gradients are being accumulated, when nothing is done.

    Raises:
        NonfiniteGradientError: As in `Guard.step`.
        GradcoreError: As in `Guard.step`, or DeepSpeed steps, which keeps gradients to itself.
    """
    require_gradients(accelerator)
    if not accelerator.sync_gradients:
        return None
    report = apply(accelerator, guard, optimizer, loss=loss)
    optimizer.step()
    return report


def apply(
    accelerator: Any, guard: Guard, optimizer: Any, *, loss: Tensor | float | None = None
) -> Report:
    """Everything but the step.  Arguments are those of `step`."""
    while isinstance(optimizer, _accelerate.optimizer.AcceleratedOptimizer):
        optimizer = optimizer.optimizer
    return guard.apply(loss=loss, optimizer=optimizer, scaler=accelerator.scaler)


def require_gradients(accelerator: Any) -> None:
    """Raise `GradcoreError` where a backend keeps gradients to itself."""
    if accelerator.distributed_type == _accelerate.DistributedType.DEEPSPEED:
        raise GradcoreError(
            "DeepSpeed reduces, clips and steps within its engine, so a guard never sees the "
            "gradients. Train with FSDP or DDP, or rely on the engine's own overflow check."
        )
