"""What is done depends on how much is not finite, and for how long it has been so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from gradcore import plan
from gradcore.validation import require_between, require_count, require_threshold

if TYPE_CHECKING:
    from gradcore.statistics import Statistics


class Adaptive(nn.Module):
    """Answer by severity: a few elements become zero, more are a skip, a streak is rolled back.

    With q the share of elements that are not finite (of gradients, or of parameters where they are
    looked at and more is lost) and k the number of non-finite steps in a row, this one included:

    * ``q <= max_share`` and ``k < skip_from``, the loss finite: the elements become zero, and the
      step is taken;
    * else the step is skipped;
    * and from ``k >= restore_from`` on rolled back, as by `Restore`, where there is a snapshot;
    * the guard's ``max_consecutive`` ends the training.

    Args:
        max_share: Largest share of elements that is zeroed, in [0, 1].
        skip_from: The so-manieth non-finite step in a row is skipped whatever its share, >= 1.
        restore_from: The so-manieth is rolled back, >= 1.
        overflow: Larger magnitudes are treated like infinite ones, > 0.
        snapshot_every: Trusted steps between snapshots, >= 1, which take as much memory as
            parameters and optimizer state; None for no snapshots, and no rolling back.
        device: Where snapshots are held, such as ``"cpu"``; None for the devices of the parameters.

    Raises:
        ValueError: An option is not as said here.
    """

    name: ClassVar[str] = "adaptive"

    streak: Tensor
    """int64, 0-d: non-finite steps in a row, up to the last."""

    def __init__(
        self,
        max_share: float = 1e-4,
        skip_from: int = 3,
        restore_from: int = 10,
        *,
        overflow: float = math.inf,
        snapshot_every: int | None = 100,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__()
        self.max_share: float = require_between("max_share", max_share, 0.0, 1.0)
        self.skip_from: int = require_count("skip_from", skip_from)
        self.restore_from: int = require_count("restore_from", restore_from)
        self.overflow: float = require_threshold("overflow", overflow)
        self.snapshot_every = snapshot_every
        if snapshot_every is not None:
            require_count("snapshot_every", snapshot_every)
        self.device = device
        self.register_buffer("streak", torch.zeros((), dtype=torch.int64))

    def forward(self, statistics: Statistics) -> tuple[plan.Verb, ...]:
        event = statistics.untrusted
        streak = torch.where(event, self.streak + 1, 0)
        self.streak.copy_(streak)
        severe = (statistics.nonfinite_share > self.max_share) | (streak >= self.skip_from)
        if statistics.loss is not None:
            severe = severe | ~statistics.loss.isfinite()
        verbs = plan.ZeroElements(), plan.Skip(event & severe)
        if self.snapshot_every is None:
            return verbs
        return *verbs, plan.Restore(streak >= self.restore_from)
