"""Sums of exponentials of sums over pairs, by matrix products instead of one term at a time.

``exp(sum_{i<j} s_ij[a_i, a_j])`` is a product over pairs.  Split the n variables into three groups,
so that every pair lies within one group or between two: with A, C and E for the joint index of each
group, the sum over everything with A and C held fixed is

    w_AC[A, C]  sum_E w_AE[A, E] w_EC[E, C],

a matrix product.  No exponential is taken of the ``B^n`` joint terms, only of the matrices, of
about ``B^(2n/3)`` elements; what is left of the ``B^n`` is multiplications and additions, at the
speed of matrix products.  Fewer there are not in general: the pairs form a complete graph, of
treewidth n - 1.

Source: R. Williams, "A new algorithm for optimal 2-constraint satisfaction and its implications",
Theoretical Computer Science 348, 2005, which counts solutions in this way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from gradcore.numerics.marginals import marginals

if TYPE_CHECKING:
    from gradcore.numerics.forms import Scores

RANGE: Final = 600.0
"""Logarithm of the largest ratio of terms of one sum, well within float64's 1e308 and 1e-308."""


def is_exact(scores: Tensor, scale: Tensor, clamp: tuple[float, float] | None) -> bool:
    """Whether contraction loses nothing: no sum reaches the clamp, and no term underflows.

    The sum of all lowest scores and the sum of all highest bound every sum.  `_log_product` divides
    matrices by their largest element, in each row or column, so the product of two elements is at
    least the exponential of minus what the scores span.  Waits for the device.
    """
    with torch.no_grad():
        ends = torch.stack((scores.amin((1, 2)).sum(), scores.amax((1, 2)).sum(), scale))
    low, high, factor = ends.tolist()
    unclamped = clamp is None or clamp[0] <= low <= high <= clamp[1]
    return unclamped and bool(abs(factor) * (high - low) <= RANGE)


def contracted_marginals(scores: Scores) -> list[Tensor]:
    """For each set, log-sum-exps of the sum of scores over all other sets: n tensors, ``[B_i]``.

    Computed in float64, so that sums over terms of very different size are exact to rounding.
    """
    dtype = scores[0, 1].dtype
    wide = {pair: score.double() for pair, score in scores.items()}
    sizes = [scores[0, 1].shape[0], *(scores[0, j].shape[1] for j in range(1, _count(scores)))]
    first, second, third = _groups(sizes)
    # What lies within a group is counted once, with one of its two matrices.
    ac = _between(wide, sizes, first, second) + _within(wide, sizes, first)[:, None]
    ce = _between(wide, sizes, second, third) + _within(wide, sizes, second)[:, None]
    ae = _between(wide, sizes, first, third) + _within(wide, sizes, third)
    of_first_and_second = marginals(
        (ac + _log_product(ae, ce.T)).reshape([sizes[i] for i in (*first, *second)])
    )
    of_third = (ae + _log_product(ac, ce)).logsumexp(0)
    rest = marginals(of_third.reshape([sizes[i] for i in third])) if third else []
    return [x.to(dtype) for x in (*of_first_and_second, *rest)]


def _count(scores: Scores) -> int:
    return 1 + max(j for _, j in scores)


def _groups(sizes: Sequence[int]) -> tuple[range, range, range]:
    """Split the variables, in order, into three groups, so that the matrices are smallest."""
    n = len(sizes)

    def elements(ends: tuple[int, int]) -> int:
        x, y, z = (math.prod(sizes[i] for i in group) for group in split(ends))
        return x * y + y * z + x * z

    def split(ends: tuple[int, int]) -> tuple[range, range, range]:
        return range(ends[0]), range(ends[0], ends[1]), range(ends[1], n)

    # The third may be empty, which is how two sets are treated: one state, of weight 1.
    return split(min(combinations(range(1, n + 1), 2), key=elements))


def _between(scores: Scores, sizes: Sequence[int], rows: range, columns: range) -> Tensor:
    """Sum of scores of the pairs between two groups, as a matrix of their joint indices."""
    members = [*rows, *columns]
    total = scores[0, 1].new_zeros([1] * len(members))
    for i in rows:
        for j in columns:
            total = total + _spread(scores[i, j], members.index(i), members.index(j), len(members))
    total = total.expand([sizes[i] for i in members])
    return total.reshape(math.prod(sizes[i] for i in rows), -1)


def _within(scores: Scores, sizes: Sequence[int], group: range) -> Tensor:
    """Sum of scores of the pairs within a group, by its joint index."""
    total = scores[0, 1].new_zeros([1] * len(group))
    for i, j in combinations(group, 2):
        total = total + _spread(scores[i, j], i - group.start, j - group.start, len(group))
    return total.expand([sizes[i] for i in group]).reshape(-1)


def _spread(score: Tensor, i: int, j: int, axes: int) -> Tensor:
    """View a matrix as a tensor of many axes, of which it varies along two."""
    shape = [1] * axes
    shape[i], shape[j] = score.shape
    return score.reshape(shape)


def _log_product(x: Tensor, y: Tensor) -> Tensor:
    """``log(exp(x) @ exp(y))``."""
    highest_x, highest_y = x.detach().amax(1, keepdim=True), y.detach().amax(0, keepdim=True)
    total = (x - highest_x).exp() @ (y - highest_y).exp()
    return total.log() + highest_x + highest_y
