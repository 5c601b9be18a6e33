"""A report tells the learning rate that each parameter is stepped with, as it was at the step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcore
import training


@pytest.fixture
def net():
    net = training.model()
    training.backward(net)
    return net


def rates(report):
    return [row.lr for row in report.parameters]


def grouped(net, **options):
    """An optimizer of two groups, in another order than the model has its parameters in."""
    last = {"params": [net[2].weight], "lr": 0.5}
    return torch.optim.SGD([last, {"params": net[0].parameters()}], lr=0.25, **options)


def test_a_guard_that_steps_an_optimizer_knows_the_rate_of_each_group(net):
    assert rates(gradcore.Guard(net).step(grouped(net))) == [0.25, 0.25, 0.5]


def test_a_guard_that_is_attached_knows_them(net):
    optimizer = grouped(net)
    guard = gradcore.Guard(net)

    guard.attach(optimizer)
    optimizer.step()
    assert rates(guard.history[-1]) == [0.25, 0.25, 0.5]


def test_a_guard_that_is_made_for_an_optimizer_knows_them(net):
    optimizer = grouped(net)

    assert rates(gradcore.Guard(optimizer).apply()) == [0.5, 0.25, 0.25]
    training.backward(net)
    assert rates(gradcore.safe_step(optimizer)) == [0.5, 0.25, 0.25]


def test_nobody_knows_who_will_step_after_apply(net):
    assert rates(gradcore.Guard(net).apply()) == [None, None, None]


def test_what_the_optimizer_does_not_step_has_no_rate(net):
    optimizer = torch.optim.SGD(net[2].parameters(), lr=0.5)

    assert rates(gradcore.Guard(net).step(optimizer)) == [None, None, 0.5]


def test_two_optimizers_in_turn_each_show_their_own(net):
    guard = gradcore.Guard(net)
    slow = torch.optim.SGD(net[0].parameters(), lr=0.125)
    fast = torch.optim.SGD(net[2].parameters(), lr=0.5)

    seen = [rates(guard.step(optimizer)) for optimizer in (slow, fast, slow)]
    assert seen == [[0.125, 0.125, None], [None, None, 0.5], [0.125, 0.125, None]]


@pytest.mark.parametrize("rate", [0.25, torch.tensor(0.25), torch.tensor([0.25])], ids=repr)
def test_a_schedule_changes_later_reports_alone(net, rate):
    """A tensor is changed in place by schedulers; the report must hold a number of its own."""
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, foreach=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    guard = gradcore.Guard(net)

    for _ in range(3):
        guard.step(optimizer)
        scheduler.step()
    assert [rates(report)[0] for report in guard.history] == [0.25, 0.125, 0.0625]


def test_a_rate_that_takes_part_in_a_graph_is_read_like_any_other(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.25, requires_grad=True)

    assert rates(gradcore.Guard(net).apply(optimizer=optimizer)) == [0.25] * 3


class Plain(torch.optim.Optimizer):
    """An optimizer whose groups have whatever they are given."""

    def __init__(self, parameters, **options):
        super().__init__(parameters, options)

    def step(self):
        return None


@pytest.mark.parametrize("options", [{}, {"lr": None}, {"lr": torch.tensor([0.1, 0.2])}], ids=repr)
def test_an_optimizer_without_one_rate_a_group_has_none(net, options):
    optimizer = Plain(net.parameters(), **options)

    assert rates(gradcore.Guard(net).step(optimizer)) == [None] * 3


def test_a_group_that_is_added_and_a_parameter_that_moves_are_seen(net):
    optimizer = grouped(net)
    guard = gradcore.Guard(net)
    guard.step(optimizer)

    net.add_module("3", nn.Linear(2, 2, bias=False))
    optimizer.add_param_group({"params": [net[3].weight], "lr": 2.0})
    training.backward(net)
    assert rates(guard.step(optimizer)) == [0.25, 0.25, 0.5, 2.0]
    first, second = optimizer.param_groups[:2]
    first["params"].append(second["params"].pop(0))
    training.backward(net)
    assert rates(guard.step(optimizer)) == [0.5, 0.25, 0.5, 2.0]
