"""`Guard.attach` guards `optimizer.step()` itself, through closures, schedulers and frameworks."""

from __future__ import annotations

import gc
import math
import pickle
import weakref

import pytest
import torch
from torch import nn

import gradcore
import training


@pytest.fixture
def net():
    return training.model()


@pytest.fixture
def optimizer(net):
    return torch.optim.SGD(net.parameters(), lr=1.0)


def faulty(net):
    training.backward(net)
    training.plant(net[0].weight, math.nan)


def test_steps_are_clipped_and_skipped_from_now_on(net, optimizer):
    guard = gradcore.Guard(net, max_norm=1e-3)
    guard.attach(optimizer)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    training.backward(net)
    optimizer.step()

    moved = torch.cat([(p - q).flatten() for p, q in zip(net.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)
    frozen = training.state(net, optimizer)
    faulty(net)
    optimizer.step()
    assert training.state(net, optimizer) == frozen
    assert [report.skipped for report in guard.history] == [False, True]


def test_a_scheduler_made_afterwards_works(net, optimizer):
    guard = gradcore.Guard(net)
    guard.attach(optimizer)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for _ in range(2):
        training.backward(net)
        optimizer.step()
        scheduler.step()

    assert optimizer.param_groups[0]["lr"] == 0.25
    assert len(guard.history) == 2
    faulty(net)
    frozen = training.state(net, optimizer)
    optimizer.step()
    assert training.state(net, optimizer) == frozen


def test_a_scheduler_made_before_works(net, optimizer):
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    guard = gradcore.Guard(net)
    guard.attach(optimizer)
    training.backward(net)
    optimizer.step()
    scheduler.step()
    assert len(guard.history) == 1


def test_a_skip_is_a_step_to_the_scheduler(net, optimizer):
    """Else it warns that the optimizer was never called, and warnings are errors here."""
    gradcore.Guard(net).attach(optimizer)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    faulty(net)
    optimizer.step()
    scheduler.step()

    assert optimizer.param_groups[0]["lr"] == 0.5


def test_attaching_twice_guards_once(net, optimizer):
    guard = gradcore.Guard(net)
    guard.attach(optimizer)
    guard.attach(optimizer)
    training.backward(net)
    optimizer.step()

    assert len(guard.history) == 1


def test_a_step_of_the_guard_itself_is_not_guarded_twice(net, optimizer):
    guard = gradcore.Guard(net, max_norm=1e-3)
    guard.attach(optimizer)
    for step in range(2):
        training.backward(net, step)
        gradcore.safe_step(optimizer, guard=guard)

    assert [report.step for report in guard.history] == [0, 1]
    assert all(report.norm > 1e-2 for report in guard.history)


def test_removing_gives_the_optimizer_back(net, optimizer):
    guard = gradcore.Guard(net)
    handle = guard.attach(optimizer)
    again = guard.attach(optimizer)
    handle.remove()
    again.remove()
    handle.remove()
    faulty(net)
    optimizer.step()

    assert len(guard.history) == 0
    assert not training.finite(net)


def test_it_can_be_attached_again_after_removal(net, optimizer):
    guard = gradcore.Guard(net)
    guard.attach(optimizer).remove()
    guard.attach(optimizer)
    training.backward(net)
    optimizer.step()

    assert len(guard.history) == 1


def test_hooks_of_others_still_run(net, optimizer):
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append("post"))
    gradcore.Guard(net).attach(optimizer)
    optimizer.register_step_pre_hook(lambda *_: called.append("pre"))
    training.backward(net)
    optimizer.step()

    assert sorted(called) == ["post", "pre"]


def test_the_state_of_the_optimizer_can_still_be_saved(net, optimizer, tmp_path):
    gradcore.Guard(net).attach(optimizer)
    training.backward(net)
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")

    state = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    torch.optim.SGD(net.parameters(), lr=9.0).load_state_dict(state)
    assert pickle.loads(pickle.dumps(optimizer.state_dict())) == optimizer.state_dict()  # noqa: S301


def test_an_attached_guard_does_not_keep_the_optimizer_alive(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    guard = gradcore.Guard(net)
    guard.attach(optimizer)
    alive = weakref.ref(optimizer)
    del optimizer
    gc.collect()

    assert alive() is None
    assert guard.history is not None


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_closure_whose_loss_is_a_plain_number_and_not_finite_is_skipped(net, optimizer, loss):
    guard = gradcore.Guard(net)
    guard.attach(optimizer)

    def closure():
        training.backward(net)
        return loss

    frozen = training.state(net, optimizer)
    assert optimizer.step(closure) == pytest.approx(loss, nan_ok=True)
    assert training.state(net, optimizer) == frozen
    assert [report.skipped for report in guard.history] == [True]
    assert guard.history[0].loss == pytest.approx(loss, nan_ok=True)


class Scaled:
    """One parameter, 0, of a fused optimizer; its gradient is 3 times the scale of 1024."""

    def __init__(self):
        self.owner = nn.Parameter(torch.zeros(1))
        self.optimizer = torch.optim.SGD([self.owner], lr=1.0, fused=True)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        self.guard = gradcore.Guard(self.optimizer, max_norm=1.5)
        self.guard.attach(self.optimizer)
        self.scaler.scale((3.0 * self.owner).sum()).backward()


def test_scaled_gradients_of_a_fused_optimizer_are_refused():
    """Its step would unscale them after they were clipped."""
    scaled = Scaled()
    assert scaled.owner.grad.item() == 3072.0

    with pytest.raises(gradcore.GradcoreError, match=r"guard\.step\(optimizer, scaler=scaler\)"):
        scaled.scaler.step(scaled.optimizer)
    assert (scaled.owner.item(), scaled.owner.grad.item()) == (0.0, 3072.0)
    assert scaled.guard.steps == 0


def test_unscaled_gradients_of_a_fused_optimizer_are_clipped():
    scaled = Scaled()
    scaled.scaler.unscale_(scaled.optimizer)
    scaled.scaler.step(scaled.optimizer)
    scaled.scaler.update()

    assert scaled.owner.item() == -1.5
    assert [report.norm for report in scaled.guard.history] == [3.0]
