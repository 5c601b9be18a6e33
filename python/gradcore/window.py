"""The last values of something, remembered on the device: what strategies with a history share."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradcore.capturing import refuse_in_a_graph
from gradcore.validation import require_count

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALLEST = sys.float_info.min

START = 1024
"""Values that an unbounded window has room for at first."""


class Window(nn.Module):
    """The last values of a quantity, such as the norm: a ring that the host never looks at.

    A strategy holds it as a submodule, so that it is saved, loaded and moved with the strategy.
    Everything is tensor arithmetic without a branch on a value; sums neither overflow nor
    underflow.  Empty places are kept as zeros and count for nothing.

    Args:
        size: Values kept, >= 1; None for all of them, with memory that doubles when it is full.

    Raises:
        ValueError: ``size`` is no whole number, or less than 1.

    Example:
        >>> norms = Window(3)
        >>> for norm in (9.0, 1.0, 2.0, 3.0):
        ...     norms.push(torch.tensor(norm, dtype=torch.float64), torch.tensor(norm != 2.0))
        >>> norms.quantile(0.5)
        tensor(3., dtype=torch.float64)
    """

    values: Tensor
    """float64 ``[size]``, in no order that matters."""

    seen: Tensor
    """Values ever taken in; int64, 0-d."""

    def __init__(self, size: int | None) -> None:
        super().__init__()
        room = START if size is None else require_count("size", size)
        self._pushes = None if size is not None else 0
        self.register_buffer("values", torch.zeros(room, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @property
    def count(self) -> Tensor:
        """Values in it now; int64, 0-d."""
        return self.seen.clamp(max=self.values.numel())

    def push(self, value: Tensor, when: Tensor) -> None:
        """Take in ``value`` in place of the oldest, where ``when``; both are 0-d."""
        if self._pushes is not None:
            refuse_in_a_graph("A window without a size, which grows,")
            if self._pushes == self.values.numel():
                self.values = torch.cat([self.values, torch.zeros_like(self.values)])
            self._pushes += 1
        here = self._places == self.seen % self.values.numel()
        self.values.copy_(torch.where(here & when, value, self.values))
        self.seen.add_(when)

    def clear(self, when: Tensor) -> None:
        """Forget everything where ``when``, 0-d bool."""
        self.seen.mul_(~when)

    def quantile(self, share: float | Tensor) -> Tensor:
        """The value that a ``share`` in [0, 1] of the values lies below; infinity if there is none.

        float64, in the shape of ``share``; interpolated linearly between the two nearest, like
        `numpy.quantile`.
        """
        ordered = torch.where(self._filled, self.values, math.inf).sort().values
        place = share * (self.count - 1).clamp(min=0).double()
        lower = place.floor()
        # Not ordered[place], which looks at a 0-d index on the host.
        below, above = (
            ordered.gather(0, end.long().reshape(-1)).reshape(place.shape)
            for end in (lower, place.ceil())
        )
        between = below + (above - below) * (place - lower)
        return torch.where(self.count > 0, between, math.inf)

    def mean(self) -> Tensor:
        """Arithmetic mean; float64, 0-d, 0 if there is none."""
        values = torch.where(self._filled, self.values, 0.0)
        largest = values.abs().amax().clamp(min=SMALLEST)
        return largest * ((values / largest).sum() / self.count.clamp(min=1))

    def std(self) -> Tensor:
        """Standard deviation of a sample, with ``n - 1``; float64, 0-d, 0 for less than two."""
        values = torch.where(self._filled, self.values - self.mean(), 0.0)
        largest = values.abs().amax().clamp(min=SMALLEST)
        squares = (values / largest).square().sum()
        return largest * (squares / (self.count - 1).clamp(min=1)).sqrt()

    @property
    def _places(self) -> Tensor:
        return torch.arange(self.values.numel(), device=self.values.device)

    @property
    def _filled(self) -> Tensor:
        return self._places < self.seen

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Make room for what an unbounded window has seen."""
        saved = state.get(f"{prefix}values")
        if self._pushes is not None and saved is not None:
            self.values = self.values.new_zeros(saved.shape)
            self._pushes = int(state[f"{prefix}seen"])
        super()._load_from_state_dict(state, prefix, *rest)
