"""Tiles, of whatever size, give the log-sum-exps of the whole matrix and their gradients."""

from __future__ import annotations

import pytest
import torch

from gradcore.numerics import tiles
from gradcore.numerics.tiles import tiled_marginals


@pytest.mark.parametrize("clamp", [None, (-0.5, 0.8)])
@pytest.mark.parametrize("tile", [(1, 1), (2, 3), (3, 100), (100, 4), (100, 100)])
def test_any_tile_gives_what_the_whole_matrix_gives(tile, clamp, monkeypatch):
    monkeypatch.setattr(tiles, "TILE", {"cpu": tile})
    left, right = (torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (7, 9))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    inputs = (left, right, scale)

    product = left @ right.T
    logits = scale * (product.clamp(*clamp) if clamp else product)
    expected = torch.cat([logits.logsumexp(1), logits.logsumexp(0)])
    found = torch.cat(tiled_marginals(*inputs, clamp, rows=5))
    torch.testing.assert_close(found, expected)

    weights = torch.randn(16, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found @ weights, inputs),
        torch.autograd.grad(expected @ weights, inputs),
    )


def test_one_result_alone_can_be_differentiated():
    left, right = (torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    scale = torch.ones((), dtype=torch.float64)

    assert torch.autograd.gradcheck(
        lambda *x: tiled_marginals(*x, scale, None, rows=1)[1], (left, right)
    )


def test_a_second_derivative_is_an_error_and_not_wrong():
    left = torch.randn(3, 2, requires_grad=True)

    rows, _ = tiled_marginals(left, left, torch.ones(()), None, rows=1)
    with pytest.raises(RuntimeError, match="Leave out chunk= to differentiate it again"):
        torch.autograd.grad(rows.sum(), left, create_graph=True)
