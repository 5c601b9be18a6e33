"""What each pair of sets adds to a similarity."""

from __future__ import annotations

import pytest
import torch

from gradcore.numerics.forms import pair_scores, pairs_of, rows_of


def test_pairs_come_in_order():
    assert pairs_of(3) == [(0, 1), (0, 2), (1, 2)]


def test_the_norm_shares_squares_among_pairs():
    """Rows (3) and (5), n = 2: |(3 + 5) / 2|^2 = 16."""
    rows = [torch.tensor([[3.0]]), torch.tensor([[5.0]])]

    assert pair_scores(rows, "norm", 1e-8).item() == pytest.approx(16.0)


def test_small_distances_are_not_lost_to_cancellation():
    x = torch.tensor([[1.0, 1.0]])
    y = x + torch.tensor([[1e-6, 0.0]])

    expected = -(y - x).double().norm().item()
    assert pair_scores([x, y], "distance", 1e-8).item() == pytest.approx(expected, rel=1e-6)


def test_rows_are_brought_to_the_widest_dtype():
    rows = rows_of(
        [torch.ones(2, 3).half(), torch.ones(2, 3).double()], "norm", normalize=True, eps=1e-8
    )

    assert {x.dtype for x in rows} == {torch.float64}
