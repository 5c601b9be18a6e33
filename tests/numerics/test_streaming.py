"""Slices of the first set add up to the whole, forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from gradcore.numerics.marginals import marginals
from gradcore.numerics.streaming import streamed_marginals


def partial(piece, inputs):
    """Marginals of a joint tensor that is an outer sum, times a scale."""
    x, y, z, scale = inputs
    return marginals(scale * (x[piece, None, None] * y[:, None] + z))


@pytest.mark.parametrize("step", [1, 2, 5, 9])
def test_any_step_gives_what_the_whole_gives(step):
    inputs = [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    inputs.append(torch.tensor(2.0, dtype=torch.float64, requires_grad=True))
    weights = torch.randn(3, 5, dtype=torch.float64)

    found = streamed_marginals(partial, inputs, sets=3, count=5, step=step)
    expected = torch.stack(partial(slice(None), inputs))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
    )


def test_it_is_asked_for_the_rows_once_forwards_and_once_backwards():
    seen = []

    def counting(piece, inputs):
        seen.append((piece.start, torch.is_grad_enabled()))
        return partial(piece, inputs)

    inputs = [torch.randn(4, requires_grad=True) for _ in range(3)]
    inputs.append(torch.ones((), requires_grad=True))
    streamed_marginals(counting, inputs, sets=3, count=4, step=2).sum().backward()
    assert seen == [(0, False), (2, False), (0, True), (2, True)]


def test_a_second_derivative_is_an_error_and_not_wrong():
    inputs = [torch.randn(4, requires_grad=True) for _ in range(3)]
    inputs.append(torch.ones((), requires_grad=True))
    total = streamed_marginals(partial, inputs, sets=3, count=4, step=2).sum()

    with pytest.raises(RuntimeError, match="Leave out chunk= to differentiate it again"):
        torch.autograd.grad(total, inputs[0], create_graph=True)
