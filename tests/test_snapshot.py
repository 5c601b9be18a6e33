"""A snapshot brings back every bit of parameters, buffers and optimizer state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
import training

WAYS = list(training.optimizers())
KINDS = pytest.mark.parametrize(
    ("kind", "options"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS]
)


def network(kind):
    """Muon takes matrices alone."""
    net = training.model()
    if kind.__name__ == "Muon":
        net[0].register_parameter("bias", None)
    return net


def restoring(target, **options):
    return gradcore.Guard(target, nonfinite=("restore", options))


def stepping(guard, optimizer, way):
    """One step of the guard and the optimizer, in one of the ways there are."""
    if way == "attach":
        guard.attach(optimizer)
        return optimizer.step
    if way == "step":
        return lambda: guard.step(optimizer)

    def apply():
        guard.apply(optimizer=optimizer)
        optimizer.step()

    return apply


@torch.no_grad()
def poison(net, optimizer):
    """Put NaN wherever training has numbers."""
    for parameter in net.parameters():
        parameter.view(-1)[0] = math.nan
    for entry in optimizer.state.values():
        for value in entry.values():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                value.fill_(math.nan)


@KINDS
@pytest.mark.parametrize("way", ["step", "attach", "apply"])
@pytest.mark.parametrize("kept_on", [None, "cpu"])
def test_what_was_poisoned_is_back_to_the_bit_and_in_its_place(kind, options, way, kept_on):
    net = network(kind)
    optimizer = kind(net.parameters(), **options)
    guard = restoring(net, snapshot_every=2, device=kept_on)
    step = stepping(guard, optimizer, way)
    for seed in range(4):
        if seed == 2:  # two trusted steps after the first snapshot
            frozen = training.state(net, optimizer)
        training.backward(net, seed)
        step()
    assert training.state(net, optimizer) != frozen
    places = [parameter.data_ptr() for parameter in net.parameters()]
    entries = [value for e in optimizer.state.values() for value in e.values()]

    poison(net, optimizer)
    training.backward(net, 4)
    step()
    assert training.state(net, optimizer) == frozen
    assert [parameter.data_ptr() for parameter in net.parameters()] == places
    now = [value for e in optimizer.state.values() for value in e.values()]
    assert all(a is b for a, b in zip(entries, now, strict=True) if isinstance(a, torch.Tensor))
    report = guard.history[-1]
    assert (report.restored, report.skipped) == (True, True)


@KINDS
def test_state_that_came_after_the_snapshot_is_gone_and_training_starts_anew(kind, options):
    """Most optimizers make their state in the first step, which the first snapshot precedes."""
    net, twin = network(kind), network(kind)
    optimizer, reference = kind(net.parameters(), **options), kind(twin.parameters(), **options)
    frozen = training.state(net, optimizer)
    guard = restoring(net)
    for seed in range(3):
        training.backward(net, seed)
        guard.step(optimizer)
    poison(net, optimizer)
    training.backward(net)
    assert guard.step(optimizer).restored
    assert training.state(net, optimizer) == frozen

    for seed in range(5, 8):
        training.backward(net, seed)
        guard.step(optimizer)
        training.backward(twin, seed)
        reference.step()
    assert training.state(net, optimizer) == training.state(twin, reference)


def test_state_that_was_thrown_away_is_back():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    guard = restoring(net, snapshot_every=1)
    for seed in range(3):
        frozen = training.state(net, optimizer)
        training.backward(net, seed)
        guard.step(optimizer)

    optimizer.state.clear()
    training.backward(net)
    training.plant(net[0].weight)
    guard.step(optimizer)
    assert training.state(net, optimizer) == frozen


def test_running_statistics_of_a_module_go_back_too():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = restoring(net)
    training.backward(net)
    frozen = training.freeze(dict(net.named_buffers()))
    guard.step(optimizer)

    net(torch.full((2, 4), math.nan)).sum().backward()
    assert bool(net[1].running_var.isnan().all())
    assert guard.step(optimizer).restored
    assert training.freeze(dict(net.named_buffers())) == frozen


def test_a_mask_of_infinities_and_a_repeated_buffer_are_no_hindrance():
    net = training.model()
    net.register_buffer("mask", torch.full((2, 2), -math.inf).triu(1))
    net.register_buffer("positions", torch.ones(1).expand(5))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = restoring(net)
    training.backward(net)
    guard.step(optimizer)
    net.positions[0] = 7.0
    training.backward(net)
    training.plant(net[0].weight)

    assert guard.step(optimizer).restored
    assert net.positions.tolist() == [1.0] * 5
    assert net.mask.tolist() == [[0.0, -math.inf], [0.0, 0.0]]


def test_a_model_that_was_converted_meanwhile_is_refused_in_words_and_left_as_it_is():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    guard = restoring(net)
    training.backward(net)
    guard.step(optimizer)
    net.double()
    training.set_gradients(net.parameters(), [math.nan] * 12, [0.1] * 3, [0.1] * 6)
    frozen = training.state(net, optimizer)

    with pytest.raises(gradcore.GradcoreError, match=r"'0.weight' is torch.float64 .*float32"):
        guard.step(optimizer)
    assert training.state(net, optimizer) == frozen


def test_the_state_of_every_optimizer_that_steps_goes_back():
    net = training.model()
    first = torch.optim.Adam(net[0].parameters())
    second = torch.optim.SGD(net[2].parameters(), lr=0.1, momentum=0.9)
    guard = restoring(net)
    for seed in range(3):
        training.backward(net, seed)
        guard.step(first)
        if seed == 0:
            frozen = training.state(net, first), training.state(net, second)
        guard.step(second)

    poison(net, first)
    poison(net, second)
    training.backward(net)
    assert guard.step(first).restored
    assert (training.state(net, first), training.state(net, second)) == frozen


def test_without_an_optimizer_parameters_alone_go_back():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    frozen = training.freeze(list(net.parameters()))
    guard = restoring(net)
    for seed in range(2):
        training.backward(net, seed)
        guard.apply()
        optimizer.step()
    state = training.freeze(optimizer.state_dict())
    training.backward(net)
    training.plant(net[0].weight)

    assert guard.apply().restored
    assert training.freeze(list(net.parameters())) == frozen
    assert training.freeze(optimizer.state_dict()) == state


def test_a_guard_of_an_optimizer_knows_its_state():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters())
    guard = restoring(optimizer, snapshot_every=1)
    for seed in range(2):
        frozen = training.state(net, optimizer)
        training.backward(net, seed)
        guard.apply()
        optimizer.step()
    training.backward(net)
    training.plant(net[0].weight)

    guard.apply()
    assert training.state(net, optimizer) == frozen
