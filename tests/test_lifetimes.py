"""What lives as long as what: counters across options, guards with optimizers, reports for ever."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref

import pytest
import torch
from torch import nn

import gradcore
import training
from gradients import parameter, parameters


@pytest.fixture
def owner():
    return parameter(torch.tensor([3.0]))


@pytest.fixture
def optimizer(owner):
    return torch.optim.SGD([owner], lr=1.0)


class Lengths:
    """A check that notes what the history holds when it is asked."""

    name = "lengths"

    def __init__(self):
        self.steps = []

    def __call__(self, report, history):
        self.steps.append([held.step for held in history])
        return ()


def test_a_bound_that_changes_every_step_goes_on_counting_and_remembering(owner, optimizer):
    """More bounds than an optimizer keeps guards for."""
    check, reports = Lengths(), []
    for step in range(20):
        owner.grad = torch.tensor([3.0])
        reports.append(gradcore.safe_step(optimizer, max_norm=1.0 + step, checks=[check]))

    assert [report.step for report in reports] == list(range(20))
    assert [report.clipped_norm for report in reports] == [1.0, 2.0, *[3.0] * 18]
    assert check.steps == [list(range(step)) for step in range(20)]


def test_a_streak_goes_on_while_the_bound_changes(owner, optimizer):
    owner.grad = torch.tensor([math.nan])
    for bound in (1.0, 2.0):
        assert gradcore.safe_step(optimizer, max_norm=bound, max_consecutive=3).skipped

    with pytest.raises(gradcore.NonfiniteGradientError, match="number 3 in a row"):
        gradcore.safe_step(optimizer, max_norm=4.0, max_consecutive=3)


def test_counters_go_on_when_a_bound_comes_back(owner, optimizer):
    owner.grad = torch.tensor([math.nan])
    for step, bound in enumerate((1.0, 2.0, 1.0)):
        report = gradcore.safe_step(optimizer, max_norm=bound, max_consecutive=4)
        assert report.step == step

    with pytest.raises(gradcore.NonfiniteGradientError, match="number 4 in a row"):
        gradcore.safe_step(optimizer, max_norm=2.0, max_consecutive=4)


class Holding(training.Seen):
    """A sink that refers to the optimizer whose steps it is told of."""

    name = "holding"

    def __init__(self, optimizer):
        super().__init__()
        self.optimizer = optimizer


def guarded_by_safe_step(net, optimizer):
    gradcore.safe_step(optimizer, sinks=[Holding(optimizer)])


def guarded_by_attachment(net, optimizer):
    gradcore.Guard(net, sinks=[Holding(optimizer)]).attach(optimizer)
    optimizer.step()


def guarded_by_its_own_attachment(net, optimizer):
    gradcore.Guard(optimizer, sinks=[Holding(optimizer)]).attach(optimizer)
    optimizer.step()


@pytest.mark.parametrize(
    "guard", [guarded_by_safe_step, guarded_by_attachment, guarded_by_its_own_attachment]
)
def test_a_sink_that_refers_to_the_optimizer_does_not_keep_it_alive(guard):
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    training.backward(net)
    guard(net, optimizer)
    alive = weakref.ref(optimizer)
    del optimizer
    gc.collect()

    assert alive() is None


def test_an_attached_guard_lives_as_long_as_the_optimizer(owner, optimizer):
    alive = weakref.ref(gradcore.Guard(optimizer).attach(optimizer).guard)
    gc.collect()
    owner.grad = torch.tensor([math.nan])
    optimizer.step()

    assert alive().history[0].skipped
    assert owner.item() == 0.0


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, pickle.dumps],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_guard_cannot_be_copied_and_says_what_to_do_instead(owner, duplicate):
    with pytest.raises(TypeError, match="state_dict"):
        duplicate(gradcore.Guard([owner]))


def test_a_copy_of_a_guarded_optimizer_has_no_guard(owner, optimizer):
    gradcore.safe_step(optimizer)
    guard = gradcore.Guard(optimizer)
    guard.attach(optimizer)

    other = copy.deepcopy(optimizer)
    other.step()
    assert guard.steps == 0
    gradcore.Guard(other).attach(other)


class Buffered(nn.Module):
    """A strategy that hands out its own memory, and changes it the next time."""

    name = "buffered"
    needs = ()

    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("factors", torch.ones(shape, dtype=torch.float64))

    def forward(self, statistics):
        self.factors.mul_(0.5)
        return gradcore.Scale(self.factors)


@pytest.mark.parametrize("shape", [(), (2,)], ids=["one for all", "one for each"])
def test_an_old_report_keeps_its_factors_when_the_strategy_changes_them(shape):
    owners = parameters([torch.tensor([8.0]), torch.tensor([8.0])])
    guard = gradcore.Guard(owners, clip=Buffered(*shape))
    reports = [guard.apply() for _ in range(3)]

    assert [owner.grad.item() for owner in owners] == [0.125, 0.125]
    for report, factor in zip(reports, (0.5, 0.25, 0.125), strict=True):
        assert report.scale == factor
        assert [row.scale for row in report.parameters] == [factor, factor]
