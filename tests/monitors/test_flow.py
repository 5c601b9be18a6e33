"""Which gradients vanish and which explode, from a report."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
from gradcore.monitors import gradient_flow


def report(**gradients):
    named = [(name, nn.Parameter(torch.zeros(2))) for name in gradients]
    for (_, parameter), values in zip(named, gradients.values(), strict=True):
        parameter.grad = None if values is None else torch.tensor(values)
    return gradcore.Guard(named, nonfinite="detect").apply()


def test_parameters_are_sorted_by_their_norms():
    step = report(
        healthy=[0.3, 0.4], tiny=[3e-9, 4e-9], zero=[0.0, 0.0], huge=[60.0, 81.0], missing=None
    )

    assert gradient_flow(step) == {
        "layers_with_vanishing_grads": ["tiny", "zero"],
        "layers_with_exploding_grads": ["huge"],
    }


def test_thresholds_are_options_and_are_not_reached_by_what_equals_them():
    step = report(a=[0.3, 0.4], b=[3.0, 4.0])

    assert gradient_flow(step, vanishing=1.0, exploding=4.0) == {
        "layers_with_vanishing_grads": ["a"],
        "layers_with_exploding_grads": ["b"],
    }
    assert gradient_flow(report(b=[3.0, 4.0]), vanishing=5.0, exploding=5.0) == {
        "layers_with_vanishing_grads": [],
        "layers_with_exploding_grads": [],
    }


def test_an_infinite_element_explodes_and_a_nan_is_neither():
    step = report(infinite=[0.0, math.inf], nan=[0.0, math.nan])

    assert gradient_flow(step) == {
        "layers_with_vanishing_grads": [],
        "layers_with_exploding_grads": ["infinite"],
    }


@pytest.mark.parametrize("options", [{"vanishing": 0.0}, {"exploding": -1.0}])
def test_a_threshold_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        gradient_flow(report(a=[1.0, 1.0]), **options)
