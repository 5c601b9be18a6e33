"""An attached guard sees every gradient its optimizer does, of closures and compiled steps too."""

from __future__ import annotations

import pytest
import torch

import gradcore
import gradients
import training


@pytest.fixture
def net():
    return training.model()


@pytest.fixture
def optimizer(net):
    return torch.optim.SGD(net.parameters(), lr=1.0)


def test_a_closure_is_run_once_before_its_gradients_are_looked_at(net, optimizer):
    guard = gradcore.Guard(net)
    guard.attach(optimizer)
    calls = []

    def closure():
        calls.append(1)
        return training.backward(net)

    loss = optimizer.step(closure)
    assert len(calls) == 1
    assert isinstance(loss, torch.Tensor)
    assert guard.history[-1].norm > 0
    assert guard.history[-1].loss == pytest.approx(loss.item())


def test_a_closure_runs_with_gradients_enabled(net, optimizer):
    gradcore.Guard(net).attach(optimizer)

    def closure():
        assert torch.is_grad_enabled()
        return training.backward(net)

    with torch.no_grad():
        optimizer.step(closure)
    optimizer.step(closure=closure)


def test_a_closure_with_a_fault_is_skipped_and_its_loss_handed_back(net, optimizer):
    gradcore.Guard(net).attach(optimizer)
    frozen = training.state(net, optimizer)

    def closure():
        training.backward(net)
        training.plant(net[0].weight)
        return torch.tensor(7.0)

    assert optimizer.step(closure).item() == 7.0
    assert training.state(net, optimizer) == frozen


def test_gradients_are_there_when_the_closure_is_a_frameworks():
    """Three times the parameter, four elements: a norm of 6."""
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    guard = gradcore.Guard([weight])
    guard.attach(optimizer)

    def closure():
        optimizer.zero_grad()
        loss = (3 * weight).sum()
        loss.backward()
        return loss

    optimizer.step(closure=closure)
    assert guard.history[-1].norm == 6.0


def test_gradients_accumulated_over_micro_steps_are_processed_once(net, optimizer):
    guard = gradcore.Guard(net, max_norm=0.1)
    guard.attach(optimizer)
    net.zero_grad()
    for _ in range(4):
        (net(torch.ones(1, 4)).sum() / 4).backward()
    whole = torch.cat([parameter.grad.flatten() for parameter in net.parameters()])
    optimizer.step()

    assert [report.norm for report in guard.history] == [
        pytest.approx(whole.double().norm().item(), rel=1e-12)
    ]


def test_an_optimizer_step_that_is_compiled_is_guarded_too(net):
    """The closure-free way: `torch.compile` of the forward and backward, the guard around it."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, max_norm=1.0)
    guard.attach(optimizer)
    compiled = torch.compile(net, backend="eager")
    for _ in range(3):
        optimizer.zero_grad()
        (1000 * compiled(torch.ones(2, 4)).sum()).backward()
        optimizer.step()

    for report in guard.history:
        assert report.norm > 1.0
        assert report.clipped_norm == pytest.approx(1.0, rel=1e-12)
    total = torch.cat([p.grad.double().flatten() for p in net.parameters()]).norm()
    assert total.item() == pytest.approx(1.0, rel=1e-6)


def test_gradients_within_bounds_reach_the_optimizer_bit_for_bit(net, optimizer):
    gradcore.Guard(net, max_norm=1e6).attach(optimizer)
    training.backward(net)
    before = [gradients.bits(parameter.grad) for parameter in net.parameters()]
    optimizer.step()

    assert [gradients.bits(parameter.grad) for parameter in net.parameters()] == before


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_is_guarded_every_time(net, optimizer):
    """The guard has to look at numbers, so the graph breaks there and nowhere is it left out."""
    guard = gradcore.Guard(net, max_norm=1.0)
    guard.attach(optimizer)
    step = torch.compile(optimizer.step, backend="eager")
    norms = []
    for _ in range(3):
        optimizer.zero_grad()
        (1000 * net(torch.ones(2, 4)).sum()).backward()
        step()
        total = torch.cat([p.grad.double().flatten() for p in net.parameters()]).norm()
        norms.append(total.item())

    assert norms == pytest.approx([1.0] * 3, rel=1e-6)
    assert len(guard.history) == 3
