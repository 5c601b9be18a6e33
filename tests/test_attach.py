"""`Guard.attach` guards `optimizer.step()` itself, through closures, schedulers and frameworks."""

from __future__ import annotations

import gc
import math
import pickle
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
