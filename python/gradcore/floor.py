"""The least that any pass over some tensors can take on this machine, for benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.loading import native

if TYPE_CHECKING:
    from torch import Tensor


def read_once(tensors: list[Tensor]) -> int:
    """Read every byte of CPU tensors once, with torch's number of threads, and do nothing else.

    Its time is the floor under every pass that reads gradients: a measurement that takes 1.2 times
    as long spends a sixth of its time on anything but waiting for memory.

    Returns:
        The exclusive or of all words, which keeps compilers from leaving the reads out.

    Raises:
        TypeError: A tensor is of a kind that `gradcore.measure` does not take.
    """
    return native.read_once(tensors)
