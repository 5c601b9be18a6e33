"""Row F11: training survives faults of every kind, in any mixture, for thousands of steps."""

from __future__ import annotations

import math
import random

import pytest
import torch

import gradcore
import training

STEPS = 2000
FAULTS = {
    "nan": lambda gradient: gradient.view(-1)[:1].fill_(math.nan),
    "inf": lambda gradient: gradient.view(-1)[-1:].fill_(math.inf),
    "-inf": lambda gradient: gradient.view(-1)[:2].fill_(-math.inf),
    "all nan": lambda gradient: gradient.fill_(math.nan),
    "huge": lambda gradient: gradient.fill_(1e38),
    "spike": lambda gradient: gradient.mul_(1e25),
    "subnormal": lambda gradient: gradient.fill_(1e-44),
    "dead": lambda gradient: gradient.zero_(),
}
POLICIES = {
    "skip": "skip",
    "zero": "zero",
    "replace": ("replace", {"nan": 0.0, "posinf": 1.0, "neginf": -1.0}),
    "zero_parameter": "zero_parameter",
    "scale": "scale",
    "restore": ("restore", {"snapshot_every": 10}),
    "adaptive": ("adaptive", {"max_share": 0.1}),
}


def faults(net, random_number):
    """Plant each fault now and then in a parameter picked by chance."""
    planted = 0
    for name, fault in FAULTS.items():
        if random_number.random() < 0.02:
            gradient = random_number.choice(list(net.parameters())).grad
            fault(gradient)
            planted += name in {"nan", "inf", "-inf", "all nan"}
    return planted


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("attached", [False, True], ids=["step", "attached"])
def test_f11_parameters_and_state_stay_finite(policy, attached):
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    seen = training.Seen()
    guard = gradcore.Guard(net, max_norm=1.0, nonfinite=policy, sinks=[seen])
    if attached:
        guard.attach(optimizer)
    random_number = random.Random(11)  # noqa: S311 - for faults
    struck = 0
    for step in range(STEPS):
        training.backward(net, step % 17)
        struck += faults(net, random_number) > 0
        optimizer.step() if attached else guard.step(optimizer)

    assert struck > 100
    assert training.finite(net)
    state = [value for entry in optimizer.state.values() for value in entry.values()]
    assert all(bool(torch.isfinite(value).all()) for value in state)
    summary = guard.history.summary()
    assert math.isfinite(summary["mean_norm"])
    events = sum(report.nonfinite.total > 0 for report in seen.reports)
    assert summary["nonfinite_rate"] == pytest.approx(events / STEPS)
    assert events > 30


def test_f11_raising_leaves_the_parameters_finite_however_often_it_is_caught():
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    guard = gradcore.Guard(net, max_norm=1.0, nonfinite="raise", max_consecutive=None)
    random_number = random.Random(12)  # noqa: S311 - for faults
    raised = 0
    for step in range(1000):
        training.backward(net, step % 17)
        faults(net, random_number)
        try:
            guard.step(optimizer)
        except gradcore.NonfiniteGradientError:
            raised += 1

    assert raised > 30
    assert training.finite(net)


@pytest.mark.parametrize("policy", ["propagate", "detect"])
def test_f11_without_protection_the_same_faults_kill_the_run(policy):
    """Which shows that the faults are real."""
    net = training.model()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    guard = gradcore.Guard(net, max_norm=1.0, nonfinite=policy, max_consecutive=None)
    random_number = random.Random(11)  # noqa: S311 - for faults
    for step in range(200):
        training.backward(net, step % 17)
        faults(net, random_number)
        guard.step(optimizer)

    assert not training.finite(net)
