"""Mean and deviation of all elements follow from those of each parameter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import gradcore
import recorded
from gradcore.runs import run_of


def test_they_are_those_of_all_elements_of_real_gradients():
    torch.manual_seed(0)
    owners = [nn.Parameter(torch.randn(*shape)) for shape in ((3, 5), (7,), (2, 2))]
    guard = gradcore.Guard(owners, needs=("sum", "max_abs"), nonfinite="detect")
    everything = []
    for scale in (1.0, 1e-3, 1e5):
        for owner in owners:
            owner.grad = scale * (torch.randn_like(owner) + 0.5)
        owners[0].grad[0, 0] = math.nan
        everything.append(torch.cat([o.grad.flatten() for o in owners]).double().numpy())
        guard.apply()

    moments = run_of(guard.history).moments
    for i, elements in enumerate(everything):
        finite = elements[np.isfinite(elements)]
        assert moments.mean[i] == pytest.approx(finite.mean(), rel=1e-9)
        assert moments.std[i] == pytest.approx(finite.std(), rel=1e-9)
        assert moments.max_abs[i] == pytest.approx(np.abs(finite).max(), rel=1e-9)


def test_they_are_not_known_where_they_were_not_measured():
    moments = recorded.run(recorded.step(7)).moments

    assert moments.step.tolist() == [7]
    assert np.isnan([moments.mean, moments.std, moments.max_abs]).all()


def test_deviations_whose_squares_overflow_are_joined_all_the_same():
    columns = {"mean": 0.0, "std": [3e200, 4e200], "max_abs": 1e201, "numel": [1, 1]}
    moments = recorded.run(recorded.step(0, [1.0, 1.0], columns=columns)).moments

    assert moments.std[0] == pytest.approx(1e200 * math.sqrt(12.5))
