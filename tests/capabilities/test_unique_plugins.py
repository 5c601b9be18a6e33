"""What no peer has: row F8 of what gradcore must be able to do."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import packages
import training
from gradcore import testing

PACKAGE = """
from dataclasses import dataclass
import torch
from gradcore import Finding, Scale, Skip, ZeroElements, hookimpl

class Mean(torch.nn.Module):
    'Scale down to the running mean of the norm.'
    name = 'acme_mean'
    def __init__(self):
        super().__init__()
        self.register_buffer('mean', torch.tensor(0.0, dtype=torch.float64))
    def forward(self, statistics):
        learned = torch.where(self.mean > 0, (self.mean + statistics.norm) / 2, statistics.norm)
        learned = torch.where(learned.isfinite(), learned, self.mean)
        self.mean = torch.where({trusted}, learned, self.mean)
        return Scale((self.mean / statistics.norm).nan_to_num(nan=1.0).clamp(max=1.0))

class ZeroOrSkip:
    'Zero what is not finite, or skip where more than half is.'
    name = 'acme_zero'
    def __call__(self, statistics):
        return ZeroElements(), Skip(statistics.nonfinite.sum() > statistics.numel.sum() / 2)

class Clipped:
    'Say so where the norm was clipped.'
    name = 'acme_clipped'
    def __call__(self, report, history):
        if report.clipped:
            yield Finding(self.name, 'info', 'The norm was clipped.', 'Nothing needs to be done.')

@dataclass
class Lines:
    'Write one line a step.'
    path: str
    name = 'acme_lines'
    def __post_init__(self):
        self.file = open(self.path, 'w')
    def __call__(self, report):
        print(report, file=self.file)
    def close(self):
        self.file.close()

@hookimpl
def gradcore_clip_strategies(): return [Mean]
@hookimpl
def gradcore_nonfinite_policies(): return [ZeroOrSkip]
@hookimpl
def gradcore_health_checks(): return [Clipped]
@hookimpl
def gradcore_sinks(): return [Lines]
"""


def test_f8_a_package_adds_one_of_each_kind_passes_the_kit_and_trains(tmp_path, monkeypatch):
    install = packages.installer(tmp_path, monkeypatch)
    install("acme-health", PACKAGE.format(trusted="statistics.trusted"))
    registry = gradcore.Registry()
    monkeypatch.setattr("gradcore.registry.default_registry", lambda: registry)
    log = tmp_path / "log"

    for kind, name, check, options in (
        ("clip", "acme_mean", testing.check_strategy, {}),
        ("nonfinite", "acme_zero", testing.check_policy, {}),
        ("check", "acme_clipped", testing.check_health, {}),
        ("sink", "acme_lines", testing.check_sink, {"path": log}),
    ):
        assert name in registry.names(kind)
        made = registry.create(kind, name, **options)
        check(type(made), **options)
        getattr(made, "close", lambda: None)()

    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sinks = [("acme_lines", {"path": log})]
    options = {"clip": "acme_mean", "nonfinite": "acme_zero", "checks": ["acme_clipped"]}
    with gradcore.Guard(net, sinks=sinks, **options) as guard:
        losses = [training.backward(net).item()]
        for step in range(50):
            if step % 10 == 5:
                training.plant(net[0].weight, math.nan)
            guard.step(optimizer)
            losses.append(training.backward(net).item())
    assert losses[-1] < 0.5 * losses[0]
    assert guard.history.summary()["repaired_elements"] == 5
    assert {finding.check for r in guard.history for finding in r.findings} <= {"acme_clipped"}
    assert len(log.read_text().splitlines()) == 50


def test_f8_the_kit_refuses_a_package_whose_memory_a_nan_would_poison(tmp_path, monkeypatch):
    install = packages.installer(tmp_path, monkeypatch)
    install("acme-health", PACKAGE.format(trusted="statistics.norm > 0"))

    poisoned = type(gradcore.Registry().create("clip", "acme_mean"))
    with pytest.raises(testing.ConformanceError, match="learns only from steps that can be trust"):
        testing.check_strategy(poisoned)
