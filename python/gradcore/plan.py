"""The verbs a strategy or a policy may ask for: a closed set, each carried out by native code.

A verb that nobody knows here cannot be carried out; a new one needs a kernel, an oracle and a test.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

LARGEST: Final = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave every gradient within bounds as it is, bit for bit."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Multiply gradients by factors in [0, 1]; a factor of exactly 1 changes no bit."""

    factors: Tensor
    """float64; 0-d: one for all, 1-d: one a row of the statistics."""

    @classmethod
    def within(cls, bounds: Tensor | float, norms: Tensor) -> Scale:
        """Bring norms to at most their bounds: factors ``min(1, bounds / norms)``.

        The factor is exactly 1 where a norm is within its bound or 0, and above 0 where it is
        infinite, as norms beyond float64 are.

        Args:
            bounds: float64, 0-d or ``[n]``, or a number; above 0; infinity bounds nothing.
            norms: float64 likewise, at least 0.
        """
        if _at_hand(norms) and not norms.ndim:
            norm, bound = norms.item(), float(bounds)  # one step, not several
            return cls(norms.new_full((), bound / min(norm, LARGEST) if norm > bound else 1.0))
        if not isinstance(bounds, Tensor):
            bounds = norms.new_full((), bounds)
        # A quotient of tensors: torch rounds `number / tensor` twice, as number times 1 / tensor.
        # fmin, since 0 / 0 is NaN: it takes the number that is beside it.
        return cls((bounds / norms.clamp(max=LARGEST)).fmin(norms.new_ones(())))


def _at_hand(tensor: Tensor) -> bool:
    """Whether the host has the values: not of a device, nor of tensors that only stand for some."""
    return type(tensor) is Tensor and tensor.is_cpu and not torch.compiler.is_compiling()


@dataclass(frozen=True, slots=True, eq=False)
class ScaleUnits:
    """Multiply each unit of each gradient by a factor in [0, 1]; one of exactly 1 changes no bit.

    Where a gradient is expanded along the axis of its units, so that they are the same memory, it
    is multiplied by the smallest of their factors.
    """

    factors: Tensor
    """float64 ``[U]``: one for each of `Statistics.unit_l2`, which has to be among the needs."""


@dataclass(frozen=True, slots=True)
class Clamp:
    """Bring each element into [-limit, limit]; a complex element keeps its phase."""

    limit: float
    """At least 0, in the unit of the gradient."""

    def __post_init__(self) -> None:
        if not self.limit >= 0.0:
            raise ValueError(f"limit must be at least 0; got {self.limit}.")


@dataclass(frozen=True, slots=True)
class Propagate:
    """Leave non-finite elements where they are."""


@dataclass(frozen=True, slots=True)
class ZeroElements:
    """Set every non-finite element to zero, a complex one as a whole."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Give every non-finite number a value; each part of a complex element by itself.

    Values beyond the largest finite number of a gradient's dtype become that number.  This is what
    `torch.nan_to_num` does, which knows no complex32 and rounds large values to infinity.
    """

    nan: float = 0.0
    posinf: float = 0.0
    neginf: float = 0.0

    def __post_init__(self) -> None:
        for name in ("nan", "posinf", "neginf"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite; got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class ZeroParameters:
    """Set the whole gradient of every parameter that has a non-finite element to zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Skip:
    """Do not step: parameters and optimizer state stay bit for bit what they are."""

    when: Tensor
    """0-d bool."""


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    """Raise `NonfiniteGradientError` before anything is changed."""

    when: Tensor
    """0-d bool."""


@dataclass(frozen=True, slots=True, eq=False)
class Restore:
    """Do not step, and roll parameters and optimizer state back to the last snapshot of the guard.

    For policies alone, which say with an attribute ``snapshot_every`` how often one is taken.  The
    step is a skipped one, and no more than that where there is no snapshot.
    """

    when: Tensor
    """0-d bool."""


Bound: TypeAlias = Keep | Scale | ScaleUnits | Clamp
Repair: TypeAlias = Propagate | ZeroElements | Replace | ZeroParameters
Verb: TypeAlias = Bound | Repair | Skip | Stop | Restore
Plan: TypeAlias = Verb | tuple[Verb, ...]
"""One verb, or several: at most one `Bound`, at most one `Repair`, any of the others."""
