"""Snapshots are taken in time, of what training changes, and never of what is not finite."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn

import gradcore
import training


def restoring(target, **options):
    return gradcore.Guard(target, nonfinite=("restore", options))


def test_a_first_step_with_a_fault_has_something_to_go_back_to():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    frozen = training.state(net, optimizer)
    training.backward(net)
    training.plant(net[0].weight)

    report = restoring(net).step(optimizer)
    assert report.restored
    assert report.stability == pytest.approx(0.25 * (20 / 21) ** 4)
    assert training.state(net, optimizer) == frozen


def test_gradients_are_left_by_step_and_taken_away_by_apply():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = restoring(net)
    training.backward(net)
    training.plant(net[0].weight)
    before = training.freeze([parameter.grad for parameter in net.parameters()])

    guard.step(optimizer)
    assert training.freeze([parameter.grad for parameter in net.parameters()]) == before
    guard.apply(optimizer=optimizer)
    assert [parameter.grad for parameter in net.parameters()] == [None] * 3


def spoil_parameter(net, optimizer):
    net[2].weight.data[0, 0] = -math.inf


def spoil_state(net, optimizer):
    optimizer.state[net[0].bias]["exp_avg"][0] = math.nan


def spoil_buffer(net, optimizer):
    net.running.fill_(math.nan)


SPOILT = {
    "the parameter '2.weight'": spoil_parameter,
    "exp_avg of the state of Adam": spoil_state,
    "the buffer 'running'": spoil_buffer,
}


@pytest.mark.parametrize(("words", "spoil"), SPOILT.items(), ids=SPOILT)
def test_what_is_not_finite_never_takes_the_place_of_a_good_snapshot(words, spoil, caplog):
    net = training.model()
    net.register_buffer("running", torch.ones(2))
    optimizer = torch.optim.Adam(net.parameters())
    guard = restoring(net, snapshot_every=2)
    frozen = training.state(net, optimizer), training.freeze(net.running)
    for seed in range(2):
        training.backward(net, seed)
        guard.step(optimizer)
    spoil(net, optimizer)
    for _ in range(2):  # with finite gradients, so that a snapshot is due
        training.set_gradients(net.parameters(), [0.1] * 12, [0.1] * 3, [0.1] * 6)
        guard.step(optimizer)

    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        f"No snapshot before step 2: {words} is not finite. The one before step 0 is kept."
    ]
    training.plant(net[0].weight)
    assert guard.step(optimizer).restored
    assert (training.state(net, optimizer), training.freeze(net.running)) == frozen


def test_without_any_snapshot_the_step_is_skipped_and_that_is_said(caplog):
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net[0].weight.data[0, 0] = math.nan
    training.backward(net)

    report = restoring(net).step(optimizer)
    assert (report.skipped, report.restored, report.stability) == (True, False, 0.0)
    assert "No snapshot before step 0: the parameter '0.weight'" in caplog.text
    assert "The step is skipped." in caplog.text


def test_a_streak_of_steps_to_go_back_from_ends_in_an_error_and_changes_nothing_then():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    guard = gradcore.Guard(net, nonfinite="restore", max_consecutive=3)
    training.backward(net)
    guard.step(optimizer)
    for _ in range(2):
        training.backward(net)
        training.plant(net[0].weight)
        assert guard.step(optimizer).restored
    net[0].weight.data[0, 0] = 5.0
    frozen = training.state(net, optimizer)

    with pytest.raises(gradcore.NonfiniteGradientError, match="max_consecutive=3"):
        guard.step(optimizer)
    assert training.state(net, optimizer) == frozen
    assert (guard.history[-1].restored, guard.history[-1].skipped) == (False, True)


def test_what_was_just_written_back_is_not_copied_again(caplog):
    """After a rollback the snapshot is as young as if it had been taken there."""
    caplog.set_level(logging.INFO, logger="gradcore")
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = restoring(net, snapshot_every=2)
    for fault in (False, False, True, False, True):
        training.backward(net)
        if fault:
            training.plant(net[0].weight)
        guard.step(optimizer)

    gone_back = [line for line in caplog.messages if "are as before" in line]
    assert gone_back == ["Parameters and optimizer state are as before step 0."] * 2


def test_learning_rates_and_what_strategies_learnt_do_not_go_back():
    class Counting(nn.Module):
        name = "counting"

        def __init__(self):
            super().__init__()
            self.register_buffer("trusted", torch.zeros(()))

        def forward(self, statistics):
            self.trusted = self.trusted + statistics.trusted
            return gradcore.Keep()

    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    guard = gradcore.Guard(net, clip=Counting(), nonfinite="restore")
    for seed in range(3):
        training.backward(net, seed)
        if seed == 2:
            training.plant(net[0].weight)
        guard.step(optimizer)
        scheduler.step()

    assert guard.history[-1].restored
    assert optimizer.param_groups[0]["lr"] == 0.0625
    assert guard.clip.trusted.item() == 2.0


def test_a_parameter_that_begins_to_train_is_in_a_snapshot_before_it_does():
    net = training.model()
    net[2].weight.requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    guard = restoring(net)
    training.backward(net)
    guard.step(optimizer)
    size = guard.snapshot_bytes
    net[2].weight.requires_grad_(requires_grad=True)
    frozen = training.freeze(list(net.parameters()))
    training.backward(net)
    guard.step(optimizer)
    assert (size, guard.snapshot_bytes) == (4 * 15, 4 * 21)

    training.backward(net)
    training.plant(net[0].weight)
    assert guard.step(optimizer).restored
    assert training.freeze(list(net.parameters())) == frozen


def test_memory_is_said_and_used_again(caplog, monkeypatch):
    """21 numbers of 4 bytes; with Adam's two averages of each and three counters of steps."""
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    guard = restoring(net, snapshot_every=1)
    assert guard.snapshot_bytes == 0
    with caplog.at_level(logging.INFO, logger="gradcore"):
        for seed in range(5):
            training.backward(net, seed)
            guard.step(optimizer)

    assert guard.snapshot_bytes == 3 * 84 + 3 * 4
    what = "A snapshot of 3 parameters, 0 buffers and the state of Adam takes"
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert said == [f"{what} {size} MB on their devices." for size in ("8.4e-05", "0.000264")]
    assert gradcore.Guard(net).snapshot_bytes == 0
    monkeypatch.setattr(torch, "empty_like", None)  # with which a snapshot makes its copies
    frozen = training.state(net, optimizer)
    training.backward(net, 5)
    guard.step(optimizer)
    training.plant(net[0].weight)
    assert guard.step(optimizer).restored
    assert training.state(net, optimizer) == frozen


def test_a_loaded_guard_takes_a_new_snapshot():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    guard = restoring(net)
    training.backward(net)
    guard.step(optimizer)
    guard.load_state_dict(guard.state_dict())
    frozen = training.state(net, optimizer)
    training.backward(net)
    guard.step(optimizer)
    training.backward(net)
    training.plant(net[0].weight)

    assert guard.step(optimizer).restored
    assert training.state(net, optimizer) == frozen


@pytest.mark.parametrize(("other", "kept"), [("restore", 0), ("skip", 2)])
def test_safe_step_with_other_options_goes_on_with_a_snapshot_of_the_same_run(other, kept):
    """Not with the one that the guard of these options took before another had its turn."""
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    states = []
    for seed, policy in enumerate(["restore", other]):
        states.append(training.state(net, optimizer))
        training.backward(net, seed)
        options = {"max_norm": 1.0} if seed else {}
        gradcore.safe_step(optimizer, nonfinite=policy, **options)
    states.append(training.state(net, optimizer))
    training.backward(net)
    training.plant(net[0].weight)

    assert gradcore.safe_step(optimizer, nonfinite="restore").restored
    assert training.state(net, optimizer) == states[kept]
