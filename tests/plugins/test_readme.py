"""The guide for plugin authors shows real files, and examples that work as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

import gradcore
import packages
from gradcore import Finding, Registry, Statistics, plan, testing

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
        install(f"example-of-{name}", blocks("example")[name])
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


OFFERS = {
    "running_mean": "clip",
    "zero_few": "nonfinite",
    "norm_doubled": "check",
    "print": "sink",
}


@pytest.fixture
def offered(example):
    """The class that the guide shows under a name."""

    def offered(name: str) -> type:
        return type(example(name).create(OFFERS[name], name))

    return offered


def test_every_example_passes_the_test_that_the_guide_shows(offered):
    (text,) = re.findall(r"<!-- kit -->\n```python\n(.*?)```", GUIDE, re.DOTALL)
    classes = [offered(name) for name in blocks("example")]
    names = {each.__name__: each for each in classes}

    exec(text, names)  # noqa: S102 - it is our own
    names["test_my_plugins_keep_to_the_rules"]()


def test_a_broken_rule_is_worded_as_the_guide_shows():
    (text,) = re.findall(r"<!-- error -->\n```text\n(.*?)```", GUIDE, re.DOTALL)

    class Forgetful(nn.Module):
        """Remember the norm where no state_dict sees it."""

        name = "forgetful"
        before = 1.0

        def forward(self, statistics):
            factor = (self.before / statistics.norm).clamp(max=1.0).nan_to_num(nan=1.0)
            learned = torch.where(statistics.learnable, statistics.norm, self.before)
            self.before = torch.as_tensor(learned)
            return gradcore.Scale(factor)

    with pytest.raises(testing.ConformanceError) as caught:
        testing.check_strategy(Forgetful)
    assert str(caught.value).replace(f"{Forgetful.__qualname__}", "Forgetful") == " ".join(
        text.split()
    )


def public(kind: str) -> set[str]:
    """Names that the guide must mention: every verb, or every statistic."""
    if kind == "verb":
        return {verb.__name__ for verb in get_args(plan.Verb)}
    properties = {name for name, member in vars(Statistics).items() if isinstance(member, property)}
    return properties - {"sum_imag"} | {"trusted", "loss"}


@pytest.mark.parametrize(("kind", "section"), [("verb", "Verbs"), ("statistic", "Statistics")])
def test_the_guide_lists_every_verb_and_every_statistic(kind, section):
    (text,) = re.findall(rf"^### {section}\n(.*?)^##", GUIDE, re.MULTILINE | re.DOTALL)
    cells = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))

    assert set(re.findall(r"`(\w+)", cells)) == public(kind)


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
