"""Loops of mixed precision that are more than one optimizer's step: GANs, accumulation, `apply`."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

import gradcore
import mixed
import training


@pytest.fixture(params=mixed.PATHS)
def path(request, monkeypatch):
    mixed.take(request.param, monkeypatch)
    return request.param


def gan(step, rounds=30):
    """Two optimizers under one scaler; an overflow in either lowers the scale for both."""
    torch.manual_seed(2)
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizers = [torch.optim.Adam(net.parameters(), lr=0.01) for net in (critic, generator)]
    scaler = GradScaler("cpu", init_scale=2.0**22, growth_interval=4)
    judge = nn.functional.binary_cross_entropy_with_logits
    scales = []
    for turn in range(rounds):
        noise, real = torch.randn(16, 4), 0.3 * torch.randn(16, 2) + 1.0
        with torch.autocast("cpu", dtype=torch.float16):
            made = generator(noise)
            told, liked = critic(real).float(), critic(made.detach()).float()
        optimizers[0].zero_grad()
        loss = judge(told, torch.ones(16, 1)) + judge(liked, torch.zeros(16, 1))
        scaler.scale(loss).backward()
        if turn == 5:
            mixed.plant(critic, math.inf)
        step(optimizers[0], scaler)
        with torch.autocast("cpu", dtype=torch.float16):
            liked = critic(made).float()
        optimizers[1].zero_grad()
        scaler.scale(judge(liked, torch.ones(16, 1))).backward()
        if turn == 9:
            mixed.plant(generator, math.nan)
        step(optimizers[1], scaler)
        scaler.update()
        scales.append(scaler.get_scale())
    nets = zip((critic, generator), optimizers, strict=True)
    return scales, [training.state(net, optimizer) for net, optimizer in nets]


@pytest.mark.usefixtures("path")
def test_two_networks_under_one_scaler_train_as_they_would_without_a_guard():
    guards = {}

    def guarded(optimizer, scaler):
        guards.setdefault(optimizer, gradcore.Guard(optimizer)).step(optimizer, scaler=scaler)

    scales, states = gan(guarded)
    assert (scales, states) == gan(mixed.alone)
    skipped = [{r.step for r in guard.history if r.skipped} for guard in guards.values()]
    assert 5 in skipped[0]
    assert 5 not in skipped[1]
    assert 9 in skipped[1]
    assert 9 not in skipped[0]


def test_safe_step_keeps_a_guard_for_each_of_them():
    def guarded(optimizer, scaler):
        gradcore.safe_step(optimizer, scaler=scaler)

    assert gan(guarded) == gan(mixed.alone)


@pytest.mark.usefixtures("path")
def test_a_guard_of_gradients_that_the_optimizer_does_not_step_cannot_tell_their_scale():
    net = mixed.model()
    optimizer = torch.optim.SGD(net[0].parameters(), lr=0.1)
    scaler = GradScaler("cpu")
    guard = gradcore.Guard(net)
    scaler.scale(mixed.loss(net, 0)).backward()

    with pytest.raises(gradcore.GradcoreError, match=r"2\.weight, 2\.bias.*Guard\(optimizer\)"):
        guard.step(optimizer, scaler=scaler)
    net[2].zero_grad()
    assert guard.step(optimizer, scaler=scaler).norm > 0.0


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_accumulate_scaled_and_are_guarded_once(set_to_none):
    """Four losses a step, an overflow in the second of one step: that step is skipped whole."""

    def run(step):
        net = mixed.model()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        scaler = GradScaler("cpu", init_scale=2.0**12, growth_interval=3)
        scales = []
        for turn in range(8):
            optimizer.zero_grad(set_to_none=set_to_none)
            for part in range(4):
                scaler.scale(mixed.loss(net, 4 * turn + part) / 4).backward()
                if (turn, part) == (3, 1):
                    mixed.plant(net, math.inf)
            step(optimizer, scaler)
            scaler.update()
            scales.append(scaler.get_scale())
        return scales, training.state(net, optimizer)

    guards = {}

    def guarded(optimizer, scaler):
        guards.setdefault(optimizer, gradcore.Guard(optimizer)).step(optimizer, scaler=scaler)

    assert run(guarded) == run(mixed.alone)
    (guard,) = guards.values()
    assert [report.skipped for report in guard.history] == [turn == 3 for turn in range(8)]


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("fused", [False, True])
def test_apply_stands_for_unscaling_in_a_loop_that_steps_through_the_scaler(fused):
    nets = mixed.model(), mixed.model()
    kind = torch.optim.AdamW
    optimizers = [kind(net.parameters(), lr=0.01, fused=fused) for net in nets]
    guard = gradcore.Guard(nets[0], nonfinite="zero")

    def applied(optimizer, scaler):
        report = guard.apply(optimizer=optimizer, scaler=scaler)
        assert report.loss_scale == scaler.get_scale()
        scaler.step(optimizer)

    scales = mixed.train(applied, nets[0], optimizers[0])
    assert scales == mixed.train(mixed.alone, nets[1], optimizers[1])
    assert training.state(nets[0], optimizers[0]) == training.state(nets[1], optimizers[1])
    assert {r.step for r in guard.history if r.skipped} >= set(mixed.FAULTS)  # the scaler will


def test_apply_has_to_know_whose_gradients_they_are():
    owner = nn.Parameter(torch.ones(1))
    scaler = GradScaler("cpu")
    scaler.scale(owner.sum()).backward()

    with pytest.raises(TypeError, match="optimizer=optimizer"):
        gradcore.Guard([owner]).apply(scaler=scaler)


@pytest.mark.usefixtures("path")
def test_parameters_frozen_in_mid_run_stay_as_they_are():
    def run(step):
        net = mixed.model()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

        def until_frozen(optimizer, scaler):
            step(optimizer, scaler)
            if len(kept) == 10:
                net[0].weight.requires_grad_(requires_grad=False)
            kept.append(training.freeze(net[0].weight))

        kept = []
        scales = mixed.train(until_frozen, net, optimizer, steps=20, faults={12: math.nan})
        assert len(set(kept[10:])) == 1
        return scales, training.state(net, optimizer)

    guards = {}

    def guarded(optimizer, scaler):
        guards.setdefault(optimizer, gradcore.Guard(optimizer)).step(optimizer, scaler=scaler)

    assert run(guarded) == run(mixed.alone)


def test_a_guard_that_is_attached_too_acts_once():
    net = mixed.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net)
    guard.attach(optimizer)
    scaler = GradScaler("cpu", init_scale=16.0)
    scaler.scale(mixed.loss(net, 0)).backward()
    guard.step(optimizer, scaler=scaler)

    assert guard.steps == 1
