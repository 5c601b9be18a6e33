"""A contrastive loss of n sets, without the joint tensor of their similarities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from gradcore.numerics.contraction import contracted_marginals, is_exact
from gradcore.numerics.forms import (
    ADDITIVE,
    Method,
    aligned_sum,
    joint_sum,
    pair_scores,
    rows_of,
    scores_by_pair,
    similarity_of_sum,
)
from gradcore.numerics.marginals import marginals
from gradcore.numerics.product import aligned_product, joint_product, product_factors
from gradcore.numerics.similarity import require_clamp
from gradcore.numerics.streaming import streamed_marginals
from gradcore.numerics.tiles import tiled_marginals
from gradcore.validation import require_count, require_positive

Clamp: TypeAlias = tuple[float, float] | None


def nway_contrastive_loss(
    *features: Tensor,
    method: Method = "product",
    logit_scale: Tensor | float = 1.0,
    chunk: int | None = None,
    normalize: bool = True,
    eps: float = 1e-8,
    clamp: tuple[float, float] | None = (-100.0, 100.0),
) -> Tensor:
    """Cross-entropy of the aligned rows of n sets, along each axis of their joint similarity.

    With ``S`` as `nway_similarity` gives it and ``t`` the logit scale,

        mean over axes i and indices b of (log sum exp(t S[a]) over all a with a_i = b
                                           - t S[b, b, …, b]),

    of which n = 2 is CLIP's symmetric loss.  It is log B^(n-1) where all similarities are equal.

    ``S`` has B^n elements, a billion for six sets of 32.  It need not be held:

    * ``norm``, ``cosine`` and ``distance`` are sums over pairs.  As long as no sum can reach the
      clamp and logits span less than 600, which holds for unit rows and a ``logit_scale`` up to
      300, the sums of exponentials are contracted by matrix products, in float64, and nothing
      larger than about B^(2n/3) is held.  To know, the device is waited for.
    * With ``chunk``, only so many rows of the first set are treated at a time and computed once
      more in the backward pass: ``chunk * B^(n-1)`` elements are held, a few times over, where it
      is not contracted, and accordingly fewer where it is.

    Args:
        *features: Two to eight tensors ``[B, D]``, of which rows of equal index belong together.
        method: The form of similarity.
        logit_scale: What similarities are multiplied by: a number, or a tensor of one element,
            which may be trained.  CLIP's starts at ``1 / 0.07`` and is kept below 100.
        chunk: Rows of the first set at a time, >= 1; None for all.
        normalize: As of `nway_similarity`, like ``eps`` and ``clamp``.
        eps: > 0.
        clamp: Smallest and largest similarity, before it is multiplied by the logit scale.

    Returns:
        0-d, in nats, differentiable in the features and in ``logit_scale``; with ``chunk``, and of
        distances, once.  float32, or float64 if a set is; under autocast too.

    Raises:
        TypeError: A set is no tensor of a real floating dtype, or ``logit_scale`` is not real.
        ValueError: There are fewer than two sets or more than eight, their shapes differ, or an
            option cannot be.

    Source:
        A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        ICML 2021, figure 3, for n = 2; the same cross-entropy along n axes.

    Example:
        >>> sets = [torch.eye(3) for _ in range(4)]
        >>> nway_contrastive_loss(*sets, method="cosine", logit_scale=20.0)
        tensor(0.0004)
    """
    require_positive("eps", eps)
    require_clamp(clamp)
    rows = rows_of(features, method, normalize=normalize, eps=eps)
    step = None if chunk is None else require_count("chunk", chunk)
    # Autocast would multiply in 16 bits.
    with torch.autocast(rows[0].device.type, enabled=False):
        scale = _scale_of(logit_scale, rows[0])
        if method == "product":
            sums = _sums_of_product(rows, scale, clamp, step)
            aligned = aligned_product(rows)
        else:
            scores = pair_scores(rows, method, eps)
            sums = _sums_of_pairs(scores, scale, clamp, step, n=len(rows), method=method, eps=eps)
            aligned = similarity_of_sum(aligned_sum(scores), method, eps)
        return torch.stack(sums).mean() - scale * _clamped(aligned, clamp).mean()


def _scale_of(logit_scale: Tensor | float, like: Tensor) -> Tensor:
    if isinstance(logit_scale, complex | str | None) or (
        isinstance(logit_scale, Tensor) and logit_scale.is_complex()
    ):
        raise TypeError(f"logit_scale must be a real number or hold one; got {logit_scale!r}.")
    scale = torch.as_tensor(logit_scale, dtype=like.dtype, device=like.device)
    if scale.numel() != 1:
        raise ValueError(
            f"logit_scale must be a number or hold one; got a tensor of shape {list(scale.shape)}."
        )
    return scale.reshape(())


def _sums_of_product(
    rows: Sequence[Tensor], scale: Tensor, clamp: Clamp, step: int | None
) -> list[Tensor]:
    """For each set ``[B]``: log-sum-exps of the logits over all other sets."""
    if step is None:
        return marginals(scale * _clamped(joint_product(rows), clamp))
    left, right = product_factors(rows)
    count = len(rows[0])
    of_left, of_right = tiled_marginals(left, right, scale, clamp, step * (len(left) // count))
    middle = (len(rows) + 1) // 2
    shapes = [count] * middle, [count] * (len(rows) - middle)
    return [*marginals(of_left.reshape(shapes[0])), *marginals(of_right.reshape(shapes[1]))]


def _sums_of_pairs(
    scores: Tensor,
    scale: Tensor,
    clamp: Clamp,
    step: int | None,
    *,
    n: int,
    method: Method,
    eps: float,
) -> list[Tensor]:
    """The same for the forms that are sums over pairs, or functions of them."""
    contracts = method in ADDITIVE and is_exact(scores, scale, clamp)

    def partial(piece: slice, inputs: Sequence[Tensor]) -> list[Tensor]:
        some, factor = scores_by_pair(inputs[0], n, piece), inputs[1]
        if contracts:
            return contracted_marginals({pair: factor * score for pair, score in some.items()})
        joint = similarity_of_sum(joint_sum(some), method, eps)
        return marginals(factor * _clamped(joint, clamp))

    if step is None:
        return partial(slice(None), (scores, scale))
    count = scores.shape[-1]
    return list(streamed_marginals(partial, (scores, scale), sets=n, count=count, step=step))


def _clamped(similarity: Tensor, clamp: Clamp) -> Tensor:
    return similarity if clamp is None else similarity.clamp(*clamp)
