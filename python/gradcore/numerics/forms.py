"""The forms of similarity: a sum over pairs of sets, or over products of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from gradcore.numerics.normalization import normalize as unit
from gradcore.numerics.widening import widened

Method: TypeAlias = Literal["product", "norm", "cosine", "distance", "geometric_cosine"]
METHODS: Final = ("product", "norm", "cosine", "distance", "geometric_cosine")
ADDITIVE: Final = ("norm", "cosine", "distance")
"""Forms that are plain sums over pairs: their exponential is a product over pairs."""

FEWEST: Final = 2
MOST: Final = 8

Scores: TypeAlias = Mapping[tuple[int, int], Tensor]
"""By sets ``i < j``: what the pair ``x_i[a], x_j[b]`` adds to the similarity, ``[B_i, B_j]``."""


def rows_of(
    features: Sequence[Tensor], method: str, *, normalize: bool, eps: float
) -> list[Tensor]:
    """Check features, and return them in one dtype of at least float32, as unit rows if asked to.

    Raises:
        TypeError: One is no tensor of a real floating dtype.
        ValueError: Their number, a shape, or the method cannot be.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if not FEWEST <= len(features) <= MOST:
        raise ValueError(f"features must be {FEWEST} to {MOST} tensors; got {len(features)}.")
    rows = [widened(f"features {number}", x) for number, x in enumerate(features)]
    for number, x in enumerate(rows):
        if x.is_complex():
            raise TypeError(f"features {number} must be real; got {x.dtype}.")
        if x.ndim != 2 or x.shape != rows[0].shape or x.numel() == 0:  # noqa: PLR2004 - a matrix
            raise ValueError(
                f"features must all be of one shape [B, D], neither of them 0; features {number}"
                f" are {list(x.shape)}, features 0 are {list(rows[0].shape)}."
            )
    dtype = reduce(torch.promote_types, (x.dtype for x in rows))
    # A cosine is of directions, whatever the lengths.
    directions = normalize or method in {"cosine", "geometric_cosine"}
    return [unit(x.to(dtype), eps=eps) if directions else x.to(dtype) for x in rows]


def pair_scores(rows: Sequence[Tensor], method: str, eps: float) -> Tensor:
    """What each pair of rows adds, for any form but the product: ``[n (n - 1) / 2, B, B]``."""
    n = len(rows)
    return torch.stack([_score(rows[i], rows[j], method, n, eps) for i, j in pairs_of(n)])


def pairs_of(n: int) -> list[tuple[int, int]]:
    """The pairs i < j of n sets, in the order of `pair_scores`."""
    return list(combinations(range(n), 2))


def scores_by_pair(scores: Tensor, n: int, piece: slice = slice(None)) -> Scores:
    """Name the matrices of `pair_scores`, with some rows of the first set alone."""
    named = zip(pairs_of(n), scores, strict=True)
    return {(i, j): score if i else score[piece] for (i, j), score in named}


def _score(x: Tensor, y: Tensor, method: str, n: int, eps: float) -> Tensor:
    pairs = n * (n - 1) // 2
    if method == "cosine":
        return x @ y.T / pairs
    if method == "distance":
        # Without the expansion into squares, which loses small distances to cancellation.
        return -torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") / pairs
    if method == "norm":
        # |x_1 + … + x_n|^2: each square is shared out among the n - 1 pairs that its row is in.
        squares = x.square().sum(-1)[:, None] + y.square().sum(-1)
        return (2.0 * (x @ y.T) + squares / (n - 1)) / n**2
    return ((1.0 + x @ y.T) / 2.0).clamp(min=0.0).add(eps).log() / pairs


def similarity_of_sum(total: Tensor, method: str, eps: float) -> Tensor:
    """Turn the sum over pairs into the similarity."""
    return 2.0 * (total.exp() - eps) - 1.0 if method == "geometric_cosine" else total


def joint_sum(scores: Scores) -> Tensor:
    """Sum over pairs for every choice of a row from each set: ``[B_1, …, B_n]``."""
    n = 1 + max(j for _, j in scores)
    total = scores[0, 1]
    for last in range(2, n):
        total = total[..., None]
        for i in range(last):
            shape = [1] * (last + 1)
            shape[i], shape[last] = scores[i, last].shape
            total = total + scores[i, last].reshape(shape)
    return total


def aligned_sum(scores: Tensor) -> Tensor:
    """Sum over pairs where the rows are of one index in all sets: ``[B]``."""
    return scores.diagonal(dim1=1, dim2=2).sum(0)
