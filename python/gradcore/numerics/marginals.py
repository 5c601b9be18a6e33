"""Log-sum-exps of a tensor over all axes but one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def marginals(joint: Tensor) -> list[Tensor]:
    """For each axis, the log-sum-exp over all others.

    The tensor is read twice however many axes it has: sums over the last half of the axes, and over
    the first half, hold all that is needed of it.
    """
    axes = joint.ndim
    if axes == 0:
        return []
    if axes == 1:
        return [joint]
    middle = axes // 2
    left = joint.logsumexp(tuple(range(middle, axes)))
    right = joint.logsumexp(tuple(range(middle)))
    return [*marginals(left), *marginals(right)]
