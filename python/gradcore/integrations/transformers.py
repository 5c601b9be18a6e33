"""A guard inside the Trainer of Hugging Face Transformers.

The Trainer calls ``accelerator.clip_grad_norm_`` before every step and only then
``on_pre_optimizer_step`` of callbacks.  That call is made even with ``max_grad_norm=0``, to log the
norm, and multiplies by infinity over the norm: NaN for every gradient if one element is not finite
(``Trainer._get_grad_norm``, 5.24).  So a callback alone would come too late, and the guard takes
the place of that call.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from gradcore.config import GuardConfig
from gradcore.errors import GradcoreError
from gradcore.extras import require_extra
from gradcore.integrations.accelerate import apply, require_gradients
from gradcore.integrations.values import target_of, values_of

if TYPE_CHECKING:
    from torch import Tensor

    from gradcore.guard import Guard

_transformers: Any = require_extra("transformers", "transformers")

FILE: Final = "gradcore.pt"
"""What the memory of the guard is called, beside ``optimizer.pt`` in a checkpoint."""


class GuardCallback(_transformers.TrainerCallback):  # type: ignore[misc] # imported at run time
    """Guards the optimizer of a Trainer, in place of the Trainer's own clipping.

    A skip leaves parameters and optimizer state as they are, bit for bit.  Numbers of reports
    (`values_of`) join the Trainer's logs, whose ``grad_norm`` is the norm before clipping.  The
    memory of the guard is saved and loaded with the optimizer.

    Args:
        **options: Those of `Guard`.  Without ``clip`` and ``max_norm`` the bound is
            ``max_grad_norm`` of the Trainer's arguments, which is 1 unless it was set; with either
            that is ignored.

    Raises:
        ValueError: An option is unknown.

    Example:
        >>> callback = GuardCallback(clip="ema", checks="default")  # then callback.attach(trainer)
    """

    def __init__(self, **options: Any) -> None:
        self.config: GuardConfig = GuardConfig.from_dict(options, source="GuardCallback")
        self.guard: Guard | None = None
        """From the start of training on."""
        self._trainer: Any = None
        self._saved: dict[str, Any] | None = None
        self._acted = False
        self._values: dict[str, float] = {}

    def attach(self, trainer: Any) -> GuardCallback:
        """Join a Trainer, or anything made of one; call it once, before ``trainer.train()``.

        Returns:
            This callback.

        Raises:
            GradcoreError: It has joined one already.
        """
        if self._trainer is not None:
            raise GradcoreError("A GuardCallback is attached already: make one for each Trainer.")
        self._trainer = trainer
        trainer.add_callback(self)
        callbacks = trainer.callback_handler.callbacks
        callbacks.insert(0, callbacks.pop())  # what it adds to logs is there for the others then
        save, load = trainer._save_optimizer_and_scheduler, trainer._load_optimizer_and_scheduler  # noqa: SLF001 - no event tells a callback the folder

        def save_all(folder: str) -> None:
            save(folder)
            if self.guard is not None and trainer.args.should_save:
                torch.save(self.guard.state_dict(), Path(folder, FILE))

        def load_all(folder: str | None) -> None:
            load(folder)
            if folder is not None and Path(folder, FILE).exists():
                self._saved = torch.load(Path(folder, FILE), weights_only=True)

        trainer._save_optimizer_and_scheduler = save_all  # noqa: SLF001
        trainer._load_optimizer_and_scheduler = load_all  # noqa: SLF001
        return self

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **others: Any
    ) -> None:
        """Make the guard, and let it clip in the Trainer's place.

        Raises:
            GradcoreError: The callback is not attached, or DeepSpeed steps.
            ValueError: An option cannot be.
        """
        if self._trainer is None:
            raise GradcoreError(
                "A callback alone comes after the Trainer's clipping, which spreads one NaN to all "
                "gradients. Call GuardCallback(...).attach(trainer) in place of callbacks=[...]."
            )
        accelerator = self._trainer.accelerator
        require_gradients(accelerator)
        bound = {"max_norm": args.max_grad_norm} if args.max_grad_norm else {}
        if {"max_norm", "clip"} & self.config.options.keys():
            bound = {}
        self.guard = self.config.guard(target_of(model, optimizer), **bound)
        if self._saved is not None:
            self.guard.load_state_dict(self._saved)
            self._saved = None
        self._acted = False
        accelerator.clip_grad_norm_ = self._clip

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, *, optimizer: Any, **others: Any
    ) -> None:
        """Guard what the Trainer did not clip, such as gradients on several device meshes."""
        if not self._acted:
            self._act(optimizer)
        self._acted = False

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float], **others: Any
    ) -> None:
        """Add what there is to what is logged of training."""
        if "loss" in logs:
            logs |= self._values
            state.log_history[-1].update(self._values)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Close the sinks, and give the Trainer back its clipping."""
        vars(self._trainer.accelerator).pop("clip_grad_norm_", None)
        if self.guard is not None:
            self.guard.close()

    def _clip(self, parameters: Any, max_norm: float, norm_type: float = 2) -> Tensor:
        """What the Trainer calls for `accelerate.Accelerator.clip_grad_norm_`."""
        norm = self._act(self._trainer.optimizer)
        self._acted = True
        return torch.tensor(norm, dtype=torch.float64)

    def _act(self, optimizer: Any) -> float:
        assert self.guard is not None  # noqa: S101 - for mypy: it is made when training begins
        report = apply(self._trainer.accelerator, self.guard, optimizer)
        self._values = values_of(self.guard, report)
        return report.norm
