"""Similarities and losses by their definitions, in numpy's double precision, term by term."""

from __future__ import annotations

import itertools

import numpy as np

LETTERS = "abcdefgh"
FORMS = ("product", "norm", "cosine", "distance", "geometric_cosine")


def directions(features):
    """Unit rows of each set."""
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in features]


def expand(values, axes, n):
    """Give a tensor that belongs to some of n axes all of them."""
    shape = [1] * n
    for axis, size in zip(axes, values.shape, strict=True):
        shape[axis] = size
    return values.reshape(shape)


def similarity(features, form, *, normalized=False):
    """The joint tensor ``[B] * n`` of float64 arrays ``[B, D]``, as they are."""
    n, count = len(features), len(features[0])
    letters = LETTERS[:n]
    if form == "product":
        return np.einsum(",".join(f"{x}z" for x in letters) + f"->{letters}", *features)
    if form == "norm":
        total = sum(expand(x, (axis, n), n + 1) for axis, x in enumerate(features)) / n
        return np.einsum(f"{letters}z,{letters}z->{letters}", total, total)
    pairs = list(itertools.combinations(range(n), 2))
    values = []
    for i, j in pairs:
        x, y = features[i], features[j]
        if form == "distance":
            value = -np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
        else:
            value = np.einsum("az,bz->ab", *directions([x, y]))
        values.append(np.broadcast_to(expand(value, (i, j), n), [count] * n))
    if form == "geometric_cosine":
        return 2 * np.prod([(1 + v) / 2 for v in values], axis=0) ** (1 / len(pairs)) - 1
    return sum(values) / len(pairs)


def loss(similarities, logit_scale):
    """Cross-entropy along each axis of the joint tensor, for the diagonal; the mean over axes."""
    n, count = similarities.ndim, len(similarities)
    logits = logit_scale * similarities
    diagonal = logits[(np.arange(count),) * n]
    total = 0.0
    for axis in range(n):
        rows = np.moveaxis(logits, axis, 0).reshape(count, -1)
        highest = rows.max(1)
        total += (highest + np.log(np.exp(rows - highest[:, None]).sum(1)) - diagonal).mean()
    return total / n
