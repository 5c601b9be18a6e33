"""MedianClip bounds the gradients that stand out, and keeps its hands off the others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcore
from gradcore.testing import check_strategy
from gradcore_median import MedianClip


def parameters_with_gradients(*norms: float | None) -> list[nn.Parameter]:
    """One parameter of two elements a norm; None for a parameter without a gradient."""
    parameters = [nn.Parameter(torch.zeros(2)) for _ in norms]
    for parameter, norm in zip(parameters, norms, strict=True):
        if norm is not None:
            parameter.grad = torch.tensor([0.6 * norm, 0.8 * norm])
    return parameters


def factors(times: float, *norms: float | None) -> list[float]:
    """What the strategy would multiply the gradients by."""
    statistics = gradcore.measure(parameters_with_gradients(*norms))
    scale = MedianClip(times)(statistics)
    return [float(factor) for factor in scale.factors]


@pytest.mark.parametrize("times", [0.5, 10.0])
def test_it_keeps_to_the_rules_for_strategies(times: float) -> None:
    check_strategy(MedianClip, times=times)


def test_a_gradient_far_above_the_median_is_scaled_down_to_its_multiple() -> None:
    assert factors(2.0, 1.0, 3.0, 60.0) == pytest.approx([1.0, 1.0, 0.1])


def test_gradients_within_the_bound_get_a_factor_of_exactly_one() -> None:
    assert factors(10.0, 1.0, 2.0, 3.0) == [1.0, 1.0, 1.0]


def test_zero_and_missing_gradients_do_not_pull_the_median_down() -> None:
    assert factors(1.0, None, 0.0, 0.0, 0.0, 5.0, 15.0) == pytest.approx([1, 1, 1, 1, 1, 2 / 3])


def test_where_nothing_has_a_gradient_nothing_is_scaled() -> None:
    assert factors(10.0, None, None) == [1.0, 1.0]


@pytest.mark.parametrize("times", [0.0, -1.0, float("nan"), float("inf")])
def test_times_must_be_finite_and_positive(times: float) -> None:
    with pytest.raises(ValueError, match="times must be finite and greater than 0; got"):
        MedianClip(times)


def test_a_guard_finds_it_by_name_and_clips_with_it() -> None:
    parameters = parameters_with_gradients(1.0, 1.0, 100.0)
    guard = gradcore.Guard(parameters, clip=("median_of_parameters", {"times": 2.0}))

    guard.apply()

    after = [float(torch.linalg.vector_norm(p.grad)) for p in parameters if p.grad is not None]
    assert after == pytest.approx([1.0, 1.0, 2.0])
