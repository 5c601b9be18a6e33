"""The guide for plugin authors shows real files, and examples that work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import gradcore
import packages
from gradcore import Finding, Registry

PLUGINS = Path(__file__).parents[2] / "plugins"
GUIDE = (PLUGINS / "README.md").read_text()


def blocks(marker: str) -> dict[str, str]:
    """Fenced blocks under a marker comment, by what the comment names."""
    pattern = rf"<!-- {marker}: (\S+) -->\n(`{{3,}})\w*\n(.*?)^\2$"
    found = re.findall(pattern, GUIDE, re.MULTILINE | re.DOTALL)
    return {name: text for name, _, text in found}


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Install the plugin that the guide shows under a name."""
    install = packages.installer(tmp_path, monkeypatch)

    def installed(name: str) -> Registry:
        install("example-of-the-guide", blocks("example")[name])
        return Registry()

    return installed


def trained(**options):
    """A guard that took six steps, the fourth with a NaN in a gradient, and its reports."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    guard = gradcore.Guard(model, **options)
    reports = []
    for step in range(6):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 10.0**step)
        if step == 3:
            model.bias.grad[0] = float("nan")
        reports.append(guard.step(optimizer))
    return guard, reports


def test_the_files_shown_are_the_files_of_the_smallest_plugin():
    folder = PLUGINS / "gradcore-median"
    unwanted = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "dist"}
    files = {
        path.relative_to(PLUGINS).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not unwanted & set(path.parts)
    }

    assert blocks("file") == files


def test_the_strategy_with_memory_trains_and_a_nan_does_not_poison_it(example):
    strategy = example("running_mean").create("clip", "running_mean", keep=0.5)

    _, reports = trained(clip=strategy)
    assert reports[3].skipped
    assert reports[5].clipped
    assert bool(strategy.mean.isfinite())


@pytest.mark.parametrize(("share", "skipped"), [(0.0, True), (0.5, False)])
def test_the_policy_decides_by_the_share_of_bad_elements(example, share, skipped):
    policy = example("zero_few").create("nonfinite", "zero_few", share=share)

    _, reports = trained(nonfinite=policy)
    assert reports[3].skipped is skipped
    assert not reports[2].skipped


def test_the_check_finds_a_norm_that_grew(example):
    check = example("norm_doubled").create("check", "norm_doubled")

    _, reports = trained(checks=[check])
    (finding,) = reports[1].findings
    assert isinstance(finding, Finding)
    assert (finding.check, finding.severity) == ("norm_doubled", "warning")
    assert reports[0].findings == ()


def test_the_sink_gets_every_report(example, capsys):
    sink = example("print").create("sink", "print", start="run 7")

    trained(sinks=[sink])
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("run 7") for line in lines] == [True] * 6
