"""Contraction by matrix products is exact where `is_exact` says so, and `is_exact` is careful."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcore.numerics.contraction import contracted_marginals, is_exact
from gradcore.numerics.forms import pairs_of


def scores_of(sizes, spread):
    """By pair, matrices of scores in [0, spread]."""
    return {
        (i, j): spread * torch.rand(sizes[i], sizes[j], dtype=torch.float64)
        for i, j in pairs_of(len(sizes))
    }


def by_definition(scores, sizes):
    """Log-sum-exps of the sum of scores, over all axes but one, in numpy."""
    total = np.zeros(sizes)
    for (i, j), score in scores.items():
        shape = [1] * len(sizes)
        shape[i], shape[j] = score.shape
        total = total + score.numpy().reshape(shape)
    for axis in range(len(sizes)):
        rest = np.moveaxis(total, axis, 0).reshape(sizes[axis], -1)
        highest = rest.max(1, keepdims=True)
        yield np.log(np.exp(rest - highest).sum(1)) + highest[:, 0]


@pytest.mark.parametrize(
    "sizes", [(4, 4), (1, 5), (3, 3, 3), (1, 4, 4, 4), (2, 3, 3, 3, 3), (3,) * 6, (1, *(2,) * 7)]
)
@pytest.mark.parametrize("total", [1.0, 590.0])
def test_it_gives_the_sums_over_all_other_sets(sizes, total):
    """Up to logits that span almost all that float64 can hold."""
    scores = scores_of(sizes, total / len(pairs_of(len(sizes))))

    found = contracted_marginals(scores)
    for ours, expected in zip(found, by_definition(scores, sizes), strict=True):
        assert ours.numpy() == pytest.approx(expected, rel=1e-13, abs=1e-12)


def test_scores_that_span_too_much_are_not_contracted():
    scores, one = torch.zeros(3, 2, 2), torch.ones(())
    scores[0, 0, 0], scores[1, 1, 1] = 300.0, -299.0
    assert is_exact(scores, one, None)

    scores[1, 1, 1] = -301.0
    assert not is_exact(scores, one, None)
    assert is_exact(scores, torch.tensor(-0.9), None)
    assert not is_exact(scores, torch.tensor(-1.1), None)


def test_sums_that_may_reach_the_clamp_are_not_contracted():
    scores, one = torch.zeros(3, 2, 2), torch.ones(())
    scores[0, 0, 0], scores[1, 0, 1], scores[2, 1, 1] = 2.0, 3.0, -4.0

    assert is_exact(scores, one, (-4.0, 5.0))
    assert not is_exact(scores, one, (-4.0, 4.9))
    assert not is_exact(scores, one, (-3.9, 5.0))


def test_nan_is_not_contracted():
    scores = torch.zeros(1, 2, 2)
    scores[0, 1, 0] = torch.nan

    assert not is_exact(scores, torch.ones(()), None)
    assert not is_exact(torch.zeros(1, 2, 2), torch.tensor(torch.nan), None)
