"""Health and stability of a many-modality CLIP: row D1 of what gradcore must be able to do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import findings
import gradcore
import training


class Clip(nn.Module):
    """Six towers, normalised without an epsilon, and a scale, trained pair by pair."""

    def __init__(self, towers, scale=1.0):
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, inputs):
        features = [tower(each) for tower, each in zip(self.towers, inputs, strict=True)]
        unit = [x / x.norm(dim=-1, keepdim=True) for x in features]
        target = torch.arange(len(unit[0]))
        pairs = [(i, j) for i in range(len(unit)) for j in range(len(unit)) if i != j]
        scale = self.logit_scale.exp()
        losses = [functional.cross_entropy(scale * unit[i] @ unit[j].T, target) for i, j in pairs]
        return torch.stack(losses).mean()


def tower(depth=1, activation=nn.GELU):
    layers = [nn.Linear(8, 8)]
    for _ in range(depth - 1):
        layers += [activation(), nn.Linear(8, 8)]
    return nn.Sequential(*layers)


def clip(**odd):
    """Six towers of two layers; ``odd`` takes the place of the third."""
    torch.manual_seed(0)
    return Clip(
        [odd.get("tower") if i == 2 and "tower" in odd else tower(2) for i in range(6)],
        odd.get("scale", 10.0),
    )


def batches(net):
    def loss_of(step):
        generator = torch.Generator().manual_seed(step)
        return net([torch.randn(16, 8, generator=generator) for _ in net.towers])

    return loss_of


def test_d1_the_norm_of_every_layer_is_told_and_a_healthy_model_is_healthy():
    net = clip()

    run = findings.train(net, batches(net), 30, "default", max_norm=1.0)
    assert run.found == []
    for report, norms in zip(run.reports, run.norms, strict=True):
        told = {row.name: row.norm for row in report.parameters}
        assert told == pytest.approx(norms, rel=1e-6)


def test_d1_a_modality_that_vanishes_is_named():
    """Sixteen sigmoids leave next to nothing of the third tower's gradient."""
    torch.manual_seed(1)
    net = clip(tower=tower(16, nn.Sigmoid))

    run = findings.train(net, batches(net), 4, [("vanishing", {"below": 1e-7})])
    assert run.steps[0] == (2, "warning")
    _, finding = run.found[0]
    assert all(name.startswith("towers.2.") for name in finding.parameters)
    assert run.norms[2]["towers.2.0.weight"] < 1e-7
    assert "towers.2.0.weight" in finding.parameters
    assert finding.recommendation


def test_d1_norms_above_a_hundred_are_an_explosion():
    net = clip(scale=1e4)

    run = findings.train(net, batches(net), 3, "default", lr=1e-6)
    assert run.joint[0] > 100.0
    assert (run.found[0][0], run.found[0][1].check) == (0, "explosion")
    assert run.found[0][1].values["norm"] == pytest.approx(run.joint[0], rel=1e-6)
    assert "max_norm" in run.found[0][1].recommendation


def test_d1_nan_of_a_normalisation_without_epsilon_is_found_in_its_tower():
    """A tower that puts out zeros is divided by its norm, which is zero."""
    net = clip()
    with torch.no_grad():
        for parameter in net.towers[2][2].parameters():
            parameter.zero_()

    run = findings.train(net, batches(net), 6, "default")
    assert all(report.skipped for report in run.reports)
    assert run.reports[0].nonfinite.nan > 0
    assert {finding.check for _, finding in run.found} == {"nonfinite_streak"}
    assert "trace_nonfinite" in run.found[0][1].recommendation


def test_d1_a_log_frequency_is_minded_by_checks_sinks_and_history():
    net = clip()
    check, sink = training.Seen(), training.Seen()

    guard_options = {"sinks": [sink], "every": 100}
    findings.train(net, batches(net), 301, [check], **guard_options)
    assert [report.step for report in check.reports] == [0, 100, 200, 300]
    assert [report.step for report in sink.reports] == [0, 100, 200, 300]
    assert isinstance(sink.reports[0], gradcore.Report)
