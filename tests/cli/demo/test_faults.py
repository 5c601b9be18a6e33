"""Faults are drawn from their seed alone and planted where they say."""

from __future__ import annotations

import collections
import math
import random

import pytest
import torch

from gradcore.cli.demo.faults import SPIKE, Fault, Kind, schedule


def parameters_with_gradients():
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), (1,))]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    return parameters


def test_the_same_seed_draws_the_same_faults():
    assert schedule(300, 0.04, seed=7) == schedule(300, 0.04, seed=7)


def test_another_seed_draws_other_faults():
    assert schedule(300, 0.04, seed=7) != schedule(300, 0.04, seed=8)


def test_drawing_faults_touches_no_other_generator():
    before = torch.get_rng_state(), random.getstate()

    schedule(300, 0.04, seed=7)

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize(
    ("steps", "rate", "count"), [(300, 0.04, 12), (300, 0.0, 0), (10, 0.001, 1), (20, 1.0, 20)]
)
def test_the_rate_is_the_share_of_steps_with_a_fault(steps, rate, count):
    """Rounded, but never to none unless none was asked for."""
    faults = schedule(steps, rate, seed=0)

    assert len(faults) == count
    assert all(step == fault.step and 0 <= step < steps for step, fault in faults.items())


def test_every_kind_is_planted_equally_often():
    kinds = collections.Counter(fault.kind for fault in schedule(300, 0.04, seed=3).values())

    assert kinds == dict.fromkeys(Kind, 3)


@pytest.mark.parametrize(
    ("kind", "sign", "expected"),
    [
        (Kind.NAN, 1, math.nan),
        (Kind.INF, 1, math.inf),
        (Kind.INF, -1, -math.inf),
        (Kind.SPIKE, -1, -SPIKE),
    ],
)
def test_one_element_of_one_gradient_is_overwritten(kind, sign, expected):
    parameters = parameters_with_gradients()

    Fault(0, kind, where=0.0, element=0.5, sign=sign).plant(parameters)

    first = torch.ones(6)
    first[3] = expected
    torch.testing.assert_close(parameters[0].grad.flatten(), first, equal_nan=True)
    assert parameters[1].grad.eq(1).all()
    assert parameters[2].grad.eq(1).all()


def test_a_whole_tensor_is_overwritten():
    parameters = parameters_with_gradients()

    Fault(0, Kind.TENSOR, where=0.34, element=0.0, sign=1).plant(parameters)

    assert parameters[0].grad.eq(1).all()
    assert parameters[1].grad.isnan().all()
    assert parameters[2].grad.eq(1).all()


def test_planting_before_backward_is_an_error():
    with pytest.raises(ValueError, match="Step 4: plant after backward; there is no gradient yet"):
        Fault(4, Kind.NAN, 0.0, 0.0, 1).plant([torch.nn.Parameter(torch.zeros(1))])
