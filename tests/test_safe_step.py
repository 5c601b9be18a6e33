"""`safe_step` is one line for what `Guard` does, and keeps one guard per optimizer and options."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import torch

import gradcore
import training


@pytest.fixture
def net():
    return training.model()


@pytest.fixture
def optimizer(net):
    return torch.optim.Adam(net.parameters(), lr=0.1)


def test_it_measures_clips_steps_and_reports(net, optimizer):
    twin = training.model()
    other = torch.optim.Adam(twin.parameters(), lr=0.1)
    training.backward(net)
    training.backward(twin)

    report = gradcore.safe_step(optimizer, max_norm=1e-3)
    norm = torch.cat([p.grad.double().flatten() for p in twin.parameters()]).norm().item()
    for parameter in twin.parameters():
        parameter.grad.mul_(1e-3 / norm)
    other.step()
    assert report.norm == pytest.approx(norm, rel=1e-12)
    assert report.clipped_norm == pytest.approx(1e-3, rel=1e-12)
    assert report.scale == pytest.approx(1e-3 / norm, rel=1e-12)
    assert report.clipped
    for parameter, reference in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, reference)


def test_it_skips_by_default(net, optimizer):
    training.backward(net)
    training.plant(net[0].weight)
    frozen = training.state(net, optimizer)

    assert gradcore.safe_step(optimizer).skipped
    assert training.state(net, optimizer) == frozen


def test_one_guard_is_kept_for_the_same_optimizer_and_options(net, optimizer):
    steps = []
    for _ in range(3):
        training.backward(net)
        steps.append(gradcore.safe_step(optimizer, max_norm=1.0).step)

    assert steps == [0, 1, 2]


def test_other_options_go_on_counting_and_other_optimizers_have_their_own(net, optimizer):
    other = torch.optim.SGD(net.parameters(), lr=0.1)
    training.backward(net)

    assert gradcore.safe_step(optimizer, max_norm=1.0).step == 0
    assert gradcore.safe_step(optimizer, max_norm=2.0).step == 1
    assert gradcore.safe_step(other, max_norm=1.0).step == 0
    assert gradcore.safe_step(optimizer, max_norm=1.0).step == 2


def test_a_strategy_with_memory_keeps_it(net, optimizer):
    class Counting(torch.nn.Module):
        name = "counting"

        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, statistics):
            self.calls += statistics.trusted
            return gradcore.Keep()

    strategy = Counting()
    for _ in range(4):
        training.backward(net)
        gradcore.safe_step(optimizer, clip=strategy)

    assert strategy.calls.item() == 4


def test_the_guard_goes_with_its_optimizer(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sink = training.Seen()
    training.backward(net)
    gradcore.safe_step(optimizer, sinks=(sink,))
    alive = weakref.ref(optimizer), weakref.ref(sink)

    del optimizer, sink
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


def test_a_guard_of_ones_own_can_be_given(net, optimizer):
    guard = gradcore.Guard(net, max_norm=1e-3)
    training.backward(net)

    report = gradcore.safe_step(optimizer, guard=guard)
    assert report.clipped
    assert guard.history[-1] is report or guard.history[-1].norm == report.norm


def test_a_guard_and_options_at_once_are_refused(net, optimizer):
    with pytest.raises((TypeError, ValueError), match="guard"):
        gradcore.safe_step(optimizer, guard=gradcore.Guard(net), max_norm=1.0)


def test_the_loss_is_looked_at(net, optimizer):
    training.backward(net)

    assert gradcore.safe_step(optimizer, loss=torch.tensor(math.inf)).skipped
    assert gradcore.safe_step(optimizer, loss=torch.tensor(2.0)).loss == 2.0


def test_a_misspelt_option_is_an_error(optimizer):
    with pytest.raises(TypeError, match="max_nrom"):
        gradcore.safe_step(optimizer, max_nrom=1.0)


def test_backward_is_run_and_guarded(net, optimizer):
    guard = gradcore.Guard(net, max_norm=1e-3)
    loss = net(torch.ones(2, 4)).square().sum()

    report = gradcore.safe_backward(loss, guard)
    assert report.loss == pytest.approx(loss.item())
    assert report.clipped
    total = torch.cat([p.grad.flatten() for p in net.parameters()]).norm().item()
    assert total == pytest.approx(1e-3, rel=1e-5)
    optimizer.step()


def test_a_loss_that_is_not_finite_never_reaches_the_parameters(net, optimizer):
    guard = gradcore.Guard(net)
    frozen = training.state(net, optimizer)
    loss = net(torch.ones(2, 4)).sum() * math.nan

    report = gradcore.safe_backward(loss, guard)
    optimizer.step()
    assert report.skipped
    assert not report.healthy
    assert training.state(net, optimizer) == frozen


def test_a_gradient_that_is_not_finite_under_a_finite_loss_is_caught(net, optimizer):
    """The square root has a slope of infinity at zero."""
    guard = gradcore.Guard(net)
    frozen = training.state(net, optimizer)
    loss = (net(torch.ones(1, 4)) * 0).sqrt().sum()

    report = gradcore.safe_backward(loss, guard)
    optimizer.step()
    assert report.loss == 0.0
    assert report.nonfinite.total > 0
    assert training.state(net, optimizer) == frozen
