"""What is true of every check: pure, cheap, repeatable, and silent where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import findings
import gradcore
from gradcore import checks
from gradcore.cli.demo.text import read_text, standard_library
from gradcore.cli.demo.training import MAX_NORM, train
from gradcore.parameter_table import ParameterTable

NAMES = gradcore.Registry(plugins=False).names("check")
EVERY = [gradcore.Registry(plugins=False).create("check", name) for name in NAMES]


@pytest.fixture
def _one_thread(threads):
    threads(1)


@pytest.mark.usefixtures("_one_thread")
def test_no_check_raises_an_alarm_in_an_undisturbed_run_of_the_demo():
    guards = []

    def guarded(model, optimizer):
        guards.append(gradcore.Guard(model, max_norm=MAX_NORM, checks=NAMES))

        def step(loss):
            report = guards[0].step(optimizer, loss=loss)
            return report.norm, report

        return step

    run = train(
        "undisturbed",
        guarded,
        text=read_text(standard_library()),
        steps=100,
        seed=0,
        faults={},
        tell=lambda _loss: None,
    )
    assert run.losses[-1] < 0.75 * run.losses[0]
    assert [finding for report in run.reports for finding in report.findings] == []
    assert [check.name for check in guards[0].checks] == NAMES


def test_the_default_names_checks_that_need_nothing_more_measured():
    made = {check.name: check for check in EVERY}

    assert set(checks.DEFAULT) < set(NAMES)
    assert all(not getattr(made[name], "needs", ()) for name in checks.DEFAULT)


@pytest.mark.parametrize("given", ["default", ["default"], ("default",)], ids=str)
def test_default_stands_for_those_names(given):
    guard = gradcore.Guard(nn.Linear(2, 1), checks=given)

    assert tuple(check.name for check in guard.checks) == checks.DEFAULT


def test_default_and_one_more_and_one_with_another_threshold():
    more = ["default", "update_ratio", ("vanishing", {"below": 1e-9})]
    guard = gradcore.Guard(nn.Linear(2, 1), checks=more)

    names = [check.name for check in guard.checks]
    assert sorted(names) == sorted([*checks.DEFAULT, "update_ratio"])
    assert guard.checks[names.index("vanishing")] == checks.Vanishing(below=1e-9)


def sick_steps(guard, owners, optimizer, steps):
    """Gradients with everything wrong at once; reports of the steps."""
    reports = []
    for step in range(steps):
        for i, owner in enumerate(owners):
            owner.grad = None if i % 5 == 0 else torch.full((2,), 10.0 ** (-(i % 12)))
            if i % 5 == 1:
                owner.grad.zero_()
        if step > 30:
            owners[2].grad.fill_(1e9)
        if step > 40:
            owners[3].grad.fill_(torch.nan)
        reports.append(guard.step(optimizer))
    return reports


def test_thousands_of_parameters_are_looked_at_as_columns(monkeypatch):
    """Rows cost microseconds each: no check makes them, whatever it has to say."""
    owners = [nn.Parameter(torch.full((2,), 1e-3)) for _ in range(2_000)]
    named = [(f"blocks.{i // 2}.{('weight', 'bias')[i % 2]}", p) for i, p in enumerate(owners)]
    optimizer = torch.optim.SGD(owners, lr=1e-2)
    guard = gradcore.Guard(
        named, max_norm=1.0, checks=NAMES, nonfinite="zero", max_consecutive=None
    )

    def no_rows(table, index):
        raise AssertionError(f"row {index} of {len(table)}")

    monkeypatch.setattr(ParameterTable, "__getitem__", no_rows)
    monkeypatch.setattr("gradcore.streak.describe", lambda *_: "")
    reports = sick_steps(guard, owners, optimizer, 50)
    found = {finding.check for report in reports for finding in report.findings}
    assert found >= {"dead", "missing", "explosion", "spike", "imbalance", "nonfinite_streak"}
    assert [check.name for check in guard.checks] == NAMES


@pytest.mark.parametrize("check", EVERY, ids=NAMES)
def test_a_check_says_the_same_of_the_same_report_again_and_remembers_nothing(check):
    owners = [nn.Parameter(torch.full((2,), 1e-3)) for _ in range(30)]
    optimizer = torch.optim.SGD(owners, lr=1e-2)
    guard = gradcore.Guard(owners, checks=[], needs="parameter_l2", nonfinite="zero")
    history, before = gradcore.History(1000), repr(check)

    for report in sick_steps(guard, owners, optimizer, 45):
        first, second = list(check(report, history)), list(check(report, history))
        assert first == second
        history.append(report)
    assert repr(check) == before


@pytest.mark.parametrize("check", EVERY, ids=NAMES)
def test_a_check_copes_with_reports_that_have_no_rows(check):
    """Those of a history that was loaded, and of all but the last hundred steps."""
    owners = [nn.Parameter(torch.full((2,), 1e-3)) for _ in range(30)]
    optimizer = torch.optim.SGD(owners, lr=1e-2)
    guard = gradcore.Guard(owners, checks=[], needs="parameter_l2", nonfinite="zero")
    reports = sick_steps(guard, owners, optimizer, 45)
    loaded = gradcore.History(1000)
    loaded.load_state_dict(guard.history.state_dict())

    assert len(loaded[0].parameters) == 0
    for finding in [*check(reports[-1], loaded), *check(loaded[-1], guard.history)]:
        assert finding.check == check.name


@pytest.mark.parametrize("check", EVERY, ids=NAMES)
def test_a_check_reads_rows_that_are_no_table_alike(check):
    """Reports that somebody read from a file have a list of rows."""
    owners = [nn.Parameter(torch.full((2,), 1e-3)) for _ in range(30)]
    optimizer = torch.optim.SGD(owners, lr=1e-2)
    guard = gradcore.Guard(owners, checks=[], needs="parameter_l2", nonfinite="zero")
    tables, lists = gradcore.History(100), gradcore.History(100)

    for report in sick_steps(guard, owners, optimizer, 42):
        listed = replace(report, parameters=list(report.parameters))
        assert list(check(listed, lists)) == list(check(report, tables))
        tables.append(report)
        lists.append(listed)


def test_findings_are_plain_and_can_be_acted_on():
    """Numbers in values and message, a severity, and an advice in a sentence."""
    owners = [nn.Parameter(torch.full((2,), 1e-3)) for _ in range(30)]
    optimizer = torch.optim.SGD(owners, lr=1e-2)
    guard = gradcore.Guard(owners, checks=NAMES, nonfinite="zero")

    found = [f for report in sick_steps(guard, owners, optimizer, 50) for f in report.findings]
    assert {finding.severity for finding in found} == {"info", "warning", "critical"}
    for finding in found:
        assert all(type(value) is float for value in finding.values.values())
        assert finding.values
        assert any(letter.isdigit() for letter in finding.message)
        assert finding.message.endswith(".")
        assert finding.recommendation.endswith(".")
        assert all(type(name) is str for name in finding.parameters)


def test_every_kth_report_counts_as_a_step():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: 0.0 * loss_of(step), 40, checks.Dead(steps=5), every=3)
    assert run.steps == [(12, "critical")]
