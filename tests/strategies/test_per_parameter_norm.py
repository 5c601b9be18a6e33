"""PerParameterNorm bounds each gradient by what its name says."""

from __future__ import annotations

import math

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

import gradcore
from gradcore.strategies import PerParameterNorm
from journeys import NAMES, Walk, expected, journey


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({}, [1.0, 1.0, 1.0]),
        ({"max_norm": 0.5}, [0.5, 0.5, 0.5]),
        ({"bounds": {"head.*": 2.0}}, [1.0, 1.0, 2.0]),
        ({"bounds": {"*.bias": 0.1, "encoder.*": 3.0}}, [3.0, 0.1, 1.0]),
        ({"bounds": {"encoder.*": 3.0, "*.bias": 0.1}}, [3.0, 3.0, 1.0]),
        ({"max_norm": math.inf, "bounds": {"[eh]*.weight": 0.7}}, [0.7, math.inf, 0.7]),
    ],
    ids=str,
)
def test_each_gradient_of_a_training_is_brought_to_the_bound_of_its_name(options, bounds):
    """The first pattern that matches counts, in the order given."""
    steps = journey(100)

    def oracle(step):
        return [min(1.0, b / g) if g else 1.0 for b, g in zip(bounds, step.numbers, strict=True)]

    found = Walk(PerParameterNorm(**options)).scales(steps)
    assert_allclose(found, expected(steps, oracle), rtol=1e-15)


def test_a_gradient_within_its_bound_keeps_every_bit():
    model = nn.Linear(3, 1)
    model(torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
    before = model.bias.grad.clone()

    strategy = PerParameterNorm(max_norm=1.0, bounds={"weight": 0.5})
    report = gradcore.Guard(model, clip=strategy).apply()
    assert torch.equal(model.bias.grad, before)
    assert float(model.weight.grad.norm()) == pytest.approx(0.5)
    assert report.clipped_norm == pytest.approx(math.hypot(0.5, 1.0))


@pytest.mark.parametrize("pattern", ["decoder.*", "ENCODER.*", "encoder", "*.weight.*"])
def test_a_pattern_that_matches_nothing_is_refused_when_the_guard_is_made(pattern):
    strategy = PerParameterNorm(bounds={"head.*": 1.0, pattern: 1.0})

    with pytest.raises(ValueError, match="matches no parameter of encoder.weight") as refused:
        Walk(strategy)
    assert repr(pattern) in str(refused.value)


def test_many_names_are_not_listed_all():
    with pytest.raises(ValueError, match=r"of 0, 1, 2, 3, 4 …\."):
        PerParameterNorm(bounds={"x": 1.0}).bind([str(i) for i in range(9)])


def test_bounds_follow_when_parameters_are_added():
    owners = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([("first", owners[0])], lr=0.0)
    guard = gradcore.Guard(optimizer, clip=PerParameterNorm(bounds={"f*": 2.0}))
    optimizer.add_param_group({"params": [("second", owners[1])]})
    for owner in owners:
        owner.grad = torch.tensor([8.0])

    report = guard.step(optimizer)
    assert [row.scale for row in report.parameters] == [0.25, 0.125]


def test_it_is_asked_for_by_name_with_its_options():
    guard = gradcore.Guard(
        [(name, nn.Parameter(torch.zeros(1))) for name in NAMES],
        clip=("per_parameter_norm", {"bounds": {"head.*": 0.25}}),
        max_norm=3.0,
    )

    assert guard.clip.limits.tolist() == [3.0, 3.0, 0.25]


def test_without_names_bounds_by_name_say_what_is_missing():
    strategy = PerParameterNorm(bounds={"head.*": 1.0})

    with pytest.raises(ValueError, match="call bind"):
        strategy(gradcore.measure([nn.Parameter(torch.zeros(1))]))


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_a_bound_must_be_positive(bound):
    with pytest.raises(ValueError, match="max_norm must be greater than 0; got"):
        PerParameterNorm(bound)
    with pytest.raises(ValueError, match=r"bounds\['head.\*'\] must be greater than 0; got"):
        PerParameterNorm(bounds={"head.*": bound})
