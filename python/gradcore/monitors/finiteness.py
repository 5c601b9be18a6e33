"""Whether tensors are finite: known at once, or noted on the device to be looked at later."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from typing import Final, TypeAlias

import torch
from torch import Tensor

from gradcore.monitors.event import plain

Mark: TypeAlias = "float | Tensor"
"""A number that is finite if a tensor is: -Inf only if it holds -Inf and nothing worse.  A 0-d
tensor where the device has not been waited for."""

CLEAN: Final = 0.0


class Finiteness:
    """Reads each tensor that passes by once, however many modules hand it on.

    Args:
        at_once: Whether to wait for the device; None: for the CPU, which one waits for anyway.
    """

    def __init__(self, *, at_once: bool | None) -> None:
        self._at_once = at_once
        self._known: dict[int, tuple[weakref.ref[Tensor], int, Mark]] = {}

    def clear(self) -> None:
        """Forget every tensor."""
        self._known.clear()

    def of_output(self, tensor: Tensor) -> Mark:
        """The mark of a tensor as it is now."""
        known = self._lookup(tensor)
        if known is not None and known[0] == version_of(tensor):
            return known[1]
        mark = self.of(tensor)
        self._known[id(tensor)] = (weakref.ref(tensor), version_of(tensor), mark)
        return mark

    def before(self, tensor: Tensor) -> Mark | None:
        """The mark that a tensor had before it was written to; None if that is not known."""
        known = self._lookup(tensor)
        return None if known is None or known[0] == version_of(tensor) else known[1]

    def of_input(self, tensor: Tensor, *, first: bool) -> Mark:
        """The mark of a tensor that went into a module; ``first``: before all others.

        Masks of attention hold -Inf on purpose.  They need no gradient, and never come first.
        """
        mark = self.of_output(tensor)
        return mark if first or tensor.requires_grad else _without_masks(mark)

    def of(self, tensor: Tensor) -> Mark:
        """The mark of a tensor that nothing is remembered of."""
        values = plain(tensor.detach())
        at_once = values.device.type == "cpu" if self._at_once is None else self._at_once
        if not at_once:
            wide = torch.float32 if values.device.type == "mps" else torch.float64
            return values.sum(dtype=wide)
        # One read, and by far the fastest there is.  It is not finite if an element is not, and
        # seldom because the sum alone overflows.
        total = float(values.sum())
        if math.isfinite(total) or bool(values.isfinite().all()):
            return CLEAN
        return total

    def _lookup(self, tensor: Tensor) -> tuple[int, Mark] | None:
        entry = self._known.get(id(tensor))
        return None if entry is None or entry[0]() is not tensor else entry[1:]


def floating(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Those that can hold NaN."""
    return [t for t in tensors if t.is_floating_point() or t.is_complex()]


def version_of(tensor: Tensor) -> int:
    """How often it was written to, which tensors of `torch.inference_mode` do not count."""
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001 - the one way to it


def _without_masks(mark: Mark) -> Mark:
    if isinstance(mark, Tensor):
        return torch.where(mark == -math.inf, CLEAN, mark)
    return CLEAN if mark == -math.inf else mark


def on_host(marks: Iterable[Mark]) -> list[float]:
    """The marks as numbers: waits for each device once."""
    listed = list(marks)
    devices = {mark.device for mark in listed if isinstance(mark, Tensor)}
    for device in devices:
        places = [i for i, m in enumerate(listed) if isinstance(m, Tensor) and m.device == device]
        values = torch.stack([torch.as_tensor(listed[i]) for i in places]).tolist()
        for place, value in zip(places, values, strict=True):
            listed[place] = value
    return [float(mark) for mark in listed]
