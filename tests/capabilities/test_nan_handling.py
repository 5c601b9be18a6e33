"""Clipping and NaN handling: rows C2 to C4 of what gradcore must be able to do."""

from __future__ import annotations

import copy
import logging
import math

import pytest
import torch
from torch import nn

import gradcore
import training

START = [0.0, 1.0, -2.0, 3.0]
"""Weights of a model whose gradient is NaN where a weight is exactly zero."""


class Distances(nn.Module):
    """The sum of the square roots of squared weights: its gradient is 0/0 at zero, else a sign."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(START))
        self.bias = nn.Parameter(torch.tensor([2.0]))

    def forward(self):
        return self.weight.square().sqrt().sum() + 3.0 * self.bias.sum()


def one_step(nonfinite, **options):
    """Weight and bias after a step of descent at a rate of 1/2, and the report of it."""
    model = Distances()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loss = model()
    loss.backward()
    report = gradcore.safe_step(optimizer, loss=loss, nonfinite=nonfinite, **options)
    return model.weight.tolist(), model.bias.item(), report


WAYS = {
    # what is asked for, the gradient of the weight that is stepped with, elements repaired
    "detect": ("detect", [math.nan, 1.0, -1.0, 1.0], 0),
    "replace": (("replace", {"nan": 0.25}), [0.25, 1.0, -1.0, 1.0], 1),
    "zero the elements": ("zero", [0.0, 1.0, -1.0, 1.0], 1),
    "zero the gradient": ("zero_parameter", [0.0, 0.0, 0.0, 0.0], 1),
    "scale instead": ("scale", [0.0, 0.75, -0.75, 0.75], 1),
    "adapt, a few": (("adaptive", {"max_share": 0.2}), [0.0, 1.0, -1.0, 1.0], 1),
}


@pytest.mark.parametrize(("policy", "gradient", "repaired"), WAYS.values(), ids=WAYS)
def test_c2_ways_that_take_the_step(policy, gradient, repaired):
    weight, bias, report = one_step(policy)

    wanted = [value - 0.5 * g for value, g in zip(START, gradient, strict=True)]
    assert weight == pytest.approx(wanted, nan_ok=True, rel=0, abs=0)
    assert bias == 2.0 - 0.5 * 3.0
    assert (report.nonfinite.nan, report.repaired, report.skipped) == (1, repaired, False)
    assert report.first_nonfinite == "param.0"


@pytest.mark.parametrize("policy", ["skip", "restore", "adaptive"])
def test_c2_ways_that_do_not(policy):
    weight, bias, report = one_step(policy)

    assert (weight, bias) == (START, 2.0)
    assert (report.skipped, report.restored, report.repaired) == (True, policy == "restore", 0)


def test_c2_restoring_goes_back_to_a_checkpoint_as_if_it_had_been_loaded():
    net = training.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    guard = gradcore.Guard(net, nonfinite=("restore", {"snapshot_every": 5}))
    for seed in range(9):
        if seed == 5:
            checkpoint = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        training.backward(net, seed)
        guard.step(optimizer)
    net[0].weight.data.fill_(math.inf)  # the model itself is lost
    training.backward(net, 9)
    report = guard.step(optimizer)

    twin = training.model()
    other = torch.optim.AdamW(twin.parameters(), lr=0.01)
    twin.load_state_dict(checkpoint[0])
    other.load_state_dict(checkpoint[1])
    assert report.restored
    assert training.state(net, optimizer) == training.state(twin, other)
    training.backward(net, 10)
    training.backward(twin, 10)
    guard.step(optimizer)
    other.step()
    assert training.state(net, optimizer) == training.state(twin, other)


def test_c3_nan_and_infinities_are_detected_in_gradients():
    net = training.model()
    training.backward(net)
    training.plant(net[0].bias, math.nan, math.inf, -math.inf)

    report = gradcore.Guard(net, nonfinite="detect").apply()
    assert (report.nonfinite.nan, report.nonfinite.posinf, report.nonfinite.neginf) == (1, 1, 1)
    assert report.first_nonfinite == "0.bias"


def test_c3_and_in_parameters(caplog):
    net = training.model()
    training.backward(net)
    net[2].weight.data[0, 0] = math.nan
    net[2].weight.data[1, 1] = math.inf

    report = gradcore.Guard(net, check_parameters=True).apply()
    counts = report.nonfinite_parameters
    assert (counts.nan, counts.posinf, counts.neginf, report.nonfinite.total) == (1, 1, 0, 0)
    assert report.skipped
    assert "'2.weight'" in caplog.text


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_c3_and_in_the_loss(loss):
    net = training.model()
    training.backward(net)

    report = gradcore.Guard(net).apply(loss=torch.tensor(loss))
    assert report.skipped
    assert (report.loss, report.stability) == (pytest.approx(loss, nan_ok=True), 0.0)


def test_c3_and_an_overflow_is_what_lies_above_a_threshold():
    net = training.model()
    training.backward(net)
    training.plant(net[0].weight, 1e6, 1.1e6, -2e6)

    report = gradcore.Guard(net, nonfinite=("zero", {"overflow": 1e6})).apply()
    assert (report.nonfinite.posinf, report.nonfinite.neginf, report.repaired) == (1, 1, 2)
    assert net[0].weight.grad.flatten()[:3].tolist() == [1e6, 0.0, 0.0]


def test_c4_severity_is_assessed_and_decides_the_response(caplog):
    """One of 20,000 elements, a thousand of them, and then a streak that ends in an error."""
    owner = nn.Parameter(torch.zeros(20_000))
    optimizer = torch.optim.SGD([owner], lr=1.0)
    guard = gradcore.Guard([("weight", owner)], nonfinite="adaptive", max_consecutive=12)
    reports = []

    def step(bad):
        owner.grad = torch.ones(20_000)
        owner.grad[:bad] = math.nan
        reports.append(guard.step(optimizer))

    with caplog.at_level(logging.WARNING, logger="gradcore"):
        for bad in (0, 1, 0, 1000, 0):
            step(bad)
        for _ in range(11):
            step(1)
        with pytest.raises(gradcore.NonfiniteGradientError, match="'weight'"):
            step(1)

    done = [
        "restore" if r.restored else "skip" if r.skipped else "repair" if r.repaired else "step"
        for r in reports
    ]
    mild, severe = ["step", "repair", "step"], ["skip", "step"]
    assert done == mild + severe + ["repair"] * 2 + ["skip"] * 7 + ["restore"] * 2
    said = [record.getMessage() for record in caplog.records]
    assert "1 element is repaired." in said[0]
    assert "The step is skipped." in said[1]
    assert owner.tolist() == [0.0] * 20_000  # as before the first step, of which the snapshot is
