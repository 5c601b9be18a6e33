"""Whatever an optimizer is going to step is guarded, or an error says what is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
from gradients import parameter


def one(value: float = 1.0) -> nn.Parameter:
    """A parameter 0 with a gradient of one element."""
    return parameter(torch.tensor([value]))


def sgd(*parameters: nn.Parameter) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=1.0)


def test_parameters_beside_the_guarded_ones_are_an_error_that_names_them():
    guarded, other = one(), one(math.nan)
    optimizer = torch.optim.SGD([("guarded", guarded), ("other", other)], lr=1.0)
    guard = gradcore.Guard([guarded])

    with pytest.raises(gradcore.GradcoreError, match="not guarded: other"):
        guard.step(optimizer)
    assert (guarded.item(), other.item(), guard.steps) == (0.0, 0.0, 0)


def test_a_guard_of_another_optimizer_does_not_step_this_one():
    first, second = one(), one(math.nan)
    guard = gradcore.Guard(sgd(first))

    with pytest.raises(gradcore.GradcoreError, match="not guarded: param.0"):
        guard.step(sgd(second))
    assert (first.item(), second.item()) == (0.0, 0.0)


def test_an_attached_guard_does_not_let_others_through():
    guarded, other = one(), one(math.nan)
    optimizer = sgd(guarded, other)
    with pytest.raises(gradcore.GradcoreError, match="not guarded"):
        gradcore.Guard([guarded]).attach(optimizer)

    gradcore.Guard(optimizer).attach(optimizer)  # the refused one left nothing behind
    optimizer.step()
    assert (guarded.item(), other.item()) == (0.0, 0.0)


def test_an_attached_guard_sees_what_is_added_later():
    guarded, other = one(), one(math.nan)
    optimizer = sgd(guarded)
    gradcore.Guard([guarded]).attach(optimizer)
    optimizer.add_param_group({"params": [other]})

    with pytest.raises(gradcore.GradcoreError, match="not guarded"):
        optimizer.step()
    assert (guarded.item(), other.item()) == (0.0, 0.0)


def test_a_guard_may_hold_more_than_the_optimizer_steps():
    stepped, left = one(), one()
    guard = gradcore.Guard([stepped, left])

    assert not guard.step(sgd(stepped)).skipped
    assert (stepped.item(), left.item()) == (-1.0, 0.0)


def test_groups_added_between_two_steps_are_seen():
    first, late = one(), one(math.nan)
    optimizer = sgd(first)
    guard = gradcore.Guard(optimizer)
    guard.step(optimizer)
    optimizer.add_param_group({"params": [late]})

    assert guard.step(optimizer).skipped
    assert (first.item(), late.item(), len(guard.names)) == (-1.0, 0.0, 2)


@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_parameter_that_took_the_place_of_another_is_seen(steps_before):
    old, new = one(), one(math.nan)
    optimizer = sgd(old)
    guard = gradcore.Guard(optimizer)
    for _ in range(steps_before):
        guard.step(optimizer)
    optimizer.param_groups[0]["params"][0] = new

    assert guard.step(optimizer).skipped
    assert new.item() == 0.0


def test_applying_sees_a_parameter_that_took_the_place_of_another():
    optimizer = sgd(one())
    guard = gradcore.Guard(optimizer)
    guard.apply()
    optimizer.param_groups[0]["params"][0] = one(math.nan)

    assert guard.apply().skipped


def test_a_parameter_replaced_in_a_module_is_seen():
    module = nn.Linear(1, 1, bias=False)
    module.weight.grad = torch.ones(1, 1)
    guard = gradcore.Guard(module)
    guard.step(torch.optim.SGD(module.parameters(), lr=1.0))
    module.weight = nn.Parameter(torch.zeros(1, 1))
    module.weight.grad = torch.full((1, 1), math.nan)

    report = guard.step(torch.optim.SGD(module.parameters(), lr=1.0))
    assert (report.skipped, report.first_nonfinite) == (True, "weight")
    assert module.weight.item() == 0.0


def test_a_parameter_added_to_a_module_is_seen():
    module = nn.Sequential(nn.Linear(1, 1, bias=False))
    module[0].weight.grad = torch.ones(1, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    guard = gradcore.Guard(module)
    guard.step(optimizer)
    module.append(nn.Linear(1, 1, bias=False))
    module[1].weight.grad = torch.full((1, 1), math.inf)
    optimizer.add_param_group({"params": [module[1].weight]})

    report = guard.step(optimizer)
    assert (report.skipped, report.first_nonfinite) == (True, "1.weight")
    assert guard.names == ("0.weight", "1.weight")


def test_safe_step_does_not_step_what_another_guard_is_attached_to():
    owner = one()
    optimizer = sgd(owner)
    guard = gradcore.Guard(optimizer)
    handle = guard.attach(optimizer)

    with pytest.raises(gradcore.GradcoreError, match="remove"):
        gradcore.safe_step(optimizer)
    assert (owner.item(), guard.steps) == (0.0, 0)
    handle.remove()
    assert gradcore.safe_step(optimizer).step == 0
    assert owner.item() == -1.0


def test_an_attached_guard_given_to_safe_step_looks_once():
    owner = one()
    optimizer = sgd(owner)
    guard = gradcore.Guard(optimizer)
    guard.attach(optimizer)

    gradcore.safe_step(optimizer, guard=guard)
    assert (owner.item(), guard.steps) == (-1.0, 1)
