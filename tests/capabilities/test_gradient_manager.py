"""Gradient manager: rows B1 to B4 of what gradcore must be able to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import gradcore
import training


def test_b1_one_object_configures_everything():
    net = training.model()
    sink = training.Seen()
    guard = gradcore.Guard(
        net,
        max_norm=0.5,
        nonfinite=("replace", {"nan": 0.0, "posinf": 1e6, "neginf": -1e6}),
        sinks=[sink],
        history=10,
        every=2,
        max_consecutive=4,
        needs=("max_abs",),
    )
    for seed in range(4):
        training.backward(net, seed)
        guard.apply()

    assert len(guard.history) == len(sink.reports) == 2
    assert all(report.clipped_norm <= 0.5 * (1 + 1e-12) for report in sink.reports)
    assert all(row.max_abs is not None for row in sink.reports[0].parameters)


@pytest.mark.parametrize(
    "options",
    [
        {"max_norm": -1.0},
        {"max_norm": 0.0},
        {"nonfinite": ("replace", {"nan": math.nan})},
        {"clip": ("value", {"limit": -1.0})},
        {"every": -3},
        {"max_consecutive": 2.5},
        {"needs": ("median",)},
    ],
    ids=str,
)
def test_b1_configuration_is_validated_where_it_is_made(options):
    with pytest.raises(ValueError, match="must"):
        gradcore.Guard(training.model(), **options)


@pytest.mark.parametrize("form", ["dict", "toml"])
def test_b1_one_file_configures_everything(form, tmp_path):
    """Clipping, repair, monitoring and debugging: the numbers are those of the arguments."""
    options = {
        "max_norm": 0.05,
        "clip": {"name": "global_norm", "norm_type": 1.0},
        "nonfinite": {"name": "replace", "posinf": 5.0},
        "history": 10,
        "every": 2,
        "max_consecutive": 4,
        "needs": ["max_abs"],
    }
    path = tmp_path / "guard.toml"
    path.write_text("""
        [guard]
        max_norm = 0.05
        clip = {name = "global_norm", norm_type = 1.0}
        nonfinite = {name = "replace", posinf = 5.0}
        history = 10
        every = 2
        max_consecutive = 4
        needs = ["max_abs"]
    """)
    configs = {
        "dict": lambda: gradcore.GuardConfig.from_dict(options),
        "toml": lambda: gradcore.GuardConfig.from_toml(path),
    }

    net = training.model()
    guard = gradcore.Guard.from_config(net, configs[form]())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    for seed in range(3):
        training.backward(net, seed)
        training.plant(net[0].weight, math.inf)
        guard.step(optimizer)

    left = sum(parameter.grad.double().abs().sum().item() for parameter in net.parameters())
    assert left == pytest.approx(0.05, rel=1e-6)
    assert [(report.repaired, report.clipped) for report in guard.history] == [(1, True)] * 2
    assert guard.history[0].parameters[0].max_abs == 5.0
    training.plant(net[0].weight, math.inf)
    with pytest.raises(gradcore.NonfiniteGradientError, match="max_consecutive=4"):
        guard.step(optimizer)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_nrom": 1.0}, "'max_nrom'.*Did you mean 'max_norm'"),
        ({"clip": {"name": "value", "limit": -1.0}}, "limit must be .*-1.0"),
        ({"every": -3}, "every must be .*-3"),
    ],
    ids=str,
)
def test_b1_a_file_is_validated_like_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        gradcore.Guard.from_config(training.model(), options)


def test_b2_one_step_runs_backward_checks_repairs_clips_and_reports():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net, nonfinite="zero", max_norm=0.01)
    first = torch.tensor([0])
    net[2].weight.register_hook(lambda gradient: gradient.index_fill(1, first, math.nan))
    loss = net(torch.ones(3, 4)).square().sum()

    report = gradcore.safe_backward(loss, guard)
    optimizer.step()
    assert report.loss == pytest.approx(loss.item())
    assert not report.healthy
    assert (report.nonfinite.nan, report.repaired) == (2, 2)
    assert report.clipped
    assert report.clipped_norm == pytest.approx(0.01, rel=1e-12)
    assert report.first_nonfinite == "2.weight"
    assert len(guard.history) == 1
    assert training.finite(net)


def test_b2_the_same_in_one_call_with_the_step():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = training.backward(net)
    training.plant(net[0].weight, math.inf)

    report = gradcore.safe_step(optimizer, loss=loss, nonfinite="zero", max_norm=0.01)
    assert (report.loss, report.repaired) == (pytest.approx(loss.item()), 1)
    assert training.finite(net)


def clipped_by(clip, *values):
    """The norm that the last of these gradients is left with, the others being seen before."""
    owner = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    guard = gradcore.Guard([owner], clip=clip)
    for value in values:
        owner.grad = torch.tensor([value, 0.0], dtype=torch.float64)
        report = guard.apply()
    assert report.clipped_norm == owner.grad.norm().item()
    return report.clipped_norm


def test_b3_clipping_is_by_norm_by_value_or_by_what_is_usual():
    usual = [float(norm) for norm in np.random.default_rng(0).uniform(1.0, 2.0, 150)]

    assert clipped_by(("global_norm", {"max_norm": 1.0}), 7.0) == pytest.approx(1.0)
    assert clipped_by(("value", {"limit": 0.5}), -7.0) == 0.5
    # The 95th percentile of the last 100.
    bound = np.percentile(usual[-100:], 95.0)
    assert clipped_by("percentile", *usual, 7.0) == pytest.approx(bound)
    assert clipped_by("percentile", *usual, 1.0) == 1.0


def test_b4_values_are_chosen_for_gradients():
    owner = nn.Parameter(torch.zeros(4))
    owner.grad = torch.tensor([math.nan, math.inf, -math.inf, 0.5])

    counts = gradcore.repair_([owner], nan=0.0, posinf=1e6, neginf=-1e6)
    assert owner.grad.tolist() == [0.0, 1e6, -1e6, 0.5]
    assert (counts.nan, counts.posinf, counts.neginf, counts.total) == (1, 1, 1, 3)


def test_b4_values_are_chosen_by_the_policy():
    owner = nn.Parameter(torch.zeros(4))
    owner.grad = torch.tensor([math.nan, math.inf, -math.inf, 0.5])

    values = {"nan": 0.0, "posinf": 1e6, "neginf": -1e6}
    report = gradcore.Guard([owner], nonfinite=("replace", values)).apply()
    assert owner.grad.tolist() == [0.0, 1e6, -1e6, 0.5]
    assert (report.repaired, report.nonfinite.total) == (3, 3)


def test_b4_values_are_chosen_for_parameters():
    net = training.model()
    with torch.no_grad():
        net[0].weight[0, :2] = math.nan
        net[0].bias[1] = math.inf

    counts = gradcore.repair_parameters_(net, nan=0.0, posinf=1e6, neginf=-1e6)
    assert (counts.nan, counts.posinf, counts.neginf) == (2, 1, 0)
    assert net[0].weight[0, :2].tolist() == [0.0, 0.0]
    assert net[0].bias[1].item() == 1e6
