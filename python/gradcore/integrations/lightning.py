"""A guard inside Lightning: a callback for its Trainer, and a step for Fabric.

Lightning runs the backward pass within ``optimizer.step(closure)``, has its gradient scaler unscale
unless the optimizer is fused, calls
``on_before_optimizer_step`` of callbacks and then ``configure_gradient_clipping``, which is where
torch's clipping would spread one NaN to all gradients (``lightning/pytorch/plugins/precision``,
2.6, and the same in 2.0).  So the hook is early enough.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from gradcore.config import GuardConfig
from gradcore.extras import require_extra
from gradcore.integrations.values import target_of, values_of
from gradcore.sinks.series import PREFIX

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from gradcore.guard import Guard
    from gradcore.report import Report

_lightning: Any = require_extra("lightning.pytorch", "lightning")


class GuardCallback(_lightning.Callback):  # type: ignore[misc] # it is imported at run time
    """Guards every optimizer of a module that a Lightning Trainer trains.

    A skip leaves parameters and optimizer state as they are, bit for bit.  Numbers of each report
    reach the trainer's logger, as ``gradcore/norm`` and so on (`values_of`); with several
    optimizers as ``gradcore/0/norm`` for the first.  The memory of the guards is part of the
    trainer's checkpoints.  With several optimizers each has a guard with its own strategy.  The
    callback works in the Trainer of ``pytorch_lightning`` as well.

    Args:
        **options: Those of `Guard`.

    Raises:
        ValueError: An option is unknown.

    Example:
        >>> callback = GuardCallback(max_norm=1.0)
        >>> trainer = _lightning.Trainer(max_epochs=1, logger=False, callbacks=[callback])
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config: GuardConfig = GuardConfig.from_dict(options, source="GuardCallback")
        self.guards: list[Guard] = []
        """One for each of ``trainer.optimizers``, from the start of training on."""
        self._saved: list[dict[str, Any]] = []
        self._loss: Tensor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the guards, and let them go on from a checkpoint.

        Raises:
            ValueError: An option cannot be, the trainer clips as well, or sinks are to take
                reports of several optimizers.
        """
        optimizers = trainer.optimizers
        if self.config.options.get("sinks") and len(optimizers) > 1:
            raise ValueError(
                f"Sinks take the reports of one optimizer; this module has {len(optimizers)}. "
                "Leave sinks out: the trainer's logger tells the optimizers apart."
            )
        self._loss = None
        self.guards = []
        for optimizer in optimizers:
            options = self.config.options
            # Strategies that are objects must not share their memory.
            own = copy.deepcopy(dict(options)) if self.guards else options
            self.guards.append(self.config.guard(target_of(pl_module, optimizer), **own))
        if trainer.gradient_clip_val and any(guard.clip is not None for guard in self.guards):
            raise ValueError(
                f"Gradients would be clipped twice, by the guard and by "
                f"Trainer(gradient_clip_val={trainer.gradient_clip_val}). Remove one of the two."
            )
        self._restore()

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """Remember the loss; those of accumulated batches are shares of one."""
        scaler = _scaler_of(trainer.precision_plugin)
        share = loss.detach() if scaler is None else loss.detach() / scaler.get_scale()
        self._loss = share if self._loss is None else self._loss + share

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
        """Apply the guard; after a skip there are no gradients, so that the step does nothing.

        Raises:
            NonfiniteGradientError: As in `Guard.step`.
        """
        scaler = _scaler_of(trainer.precision_plugin)
        number = next(i for i, known in enumerate(trainer.optimizers) if known is optimizer)
        loss, self._loss = self._loss, None
        guard = self.guards[number]
        report = guard.apply(loss=loss, optimizer=optimizer, scaler=scaler)
        prefix = PREFIX if len(self.guards) == 1 else f"{PREFIX}{number}/"
        pl_module.log_dict(values_of(guard, report, prefix), on_step=True, on_epoch=False)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close the sinks at the end of training."""
        if stage == "fit":
            self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the sinks where training breaks off."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The memory of every guard, for the trainer's checkpoint."""
        saved = [guard.state_dict() for guard in self.guards] or self._saved
        return {"guards": saved} if saved else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the memory in a checkpoint; it is loaded when training starts."""
        self._saved = state_dict["guards"]

    def _restore(self) -> None:
        saved, self._saved = self._saved, []
        if saved and len(saved) != len(self.guards):
            raise ValueError(
                f"The checkpoint holds guards of {len(saved)} optimizers; the module has "
                f"{len(self.guards)}. Resume the module that it was saved with."
            )
        for guard, state in zip(self.guards, saved, strict=False):  # none if nothing is saved
            guard.load_state_dict(state)

    def _close(self) -> None:
        for guard in self.guards:
            guard.close()


def step(
    fabric: Any, guard: Guard, optimizer: Any, *, loss: Tensor | float | None = None
) -> Report:
    """Guard and take one step under Lightning Fabric, in place of ``optimizer.step()``.

    Gradients are unscaled in the same pass.  Fabric's own step follows, after a skip without
    gradients, so that a gradient scaler and Fabric's callbacks see every step.

    Args:
        fabric: The `lightning.Fabric`.
        guard: For the module, or what the optimizer steps.
        optimizer: As ``fabric.setup()`` returned it.
        loss: The loss; a non-finite one makes the step a non-finite one.

    Raises:
        NonfiniteGradientError: As in `Guard.step`.
        GradcoreError: As in `Guard.step`.
    """
    scaler = _scaler_of(fabric.strategy.precision)
    report = guard.apply(loss=loss, optimizer=optimizer.optimizer, scaler=scaler)
    optimizer.step()
    return report


def _scaler_of(precision: Any) -> Any:
    """The gradient scaler of a precision plugin that has one in use."""
    scaler = getattr(precision, "scaler", None)
    return scaler if scaler is not None and scaler.is_enabled() else None
