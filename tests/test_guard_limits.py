"""A streak of faults ends in an error, `every` thins out looking but never protection."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
import training


def run(guard, owner, optimizer, *values):
    for value in values:
        owner.grad = torch.tensor([value])
        guard.step(optimizer)


@pytest.fixture
def owner():
    return nn.Parameter(torch.zeros(1))


@pytest.fixture
def optimizer(owner):
    return torch.optim.SGD([owner], lr=1.0, momentum=0.9)


@pytest.mark.parametrize("policy", ["skip", "zero", "replace", "propagate", "detect"])
def test_the_nth_fault_in_a_row_raises_before_anything_is_changed(policy, owner, optimizer):
    guard = gradcore.Guard([("weight", owner)], nonfinite=policy, max_consecutive=3)
    run(guard, owner, optimizer, 1.0, math.nan, math.inf)
    frozen = training.freeze([owner.detach(), optimizer.state_dict()])

    owner.grad = torch.tensor([math.nan])
    with pytest.raises(gradcore.NonfiniteGradientError, match="'weight'"):
        guard.step(optimizer)
    assert training.freeze([owner.detach(), optimizer.state_dict()]) == frozen
    assert math.isnan(owner.grad.item())


def test_a_good_step_ends_the_streak(owner, optimizer):
    guard = gradcore.Guard([owner], max_consecutive=3)

    run(guard, owner, optimizer, *[math.nan, math.nan, 1.0] * 5)
    assert len(guard.history) == 15


def test_a_loss_counts_towards_the_streak(owner, optimizer):
    guard = gradcore.Guard([owner], max_consecutive=2)
    owner.grad = torch.ones(1)

    assert guard.step(optimizer, loss=math.inf).skipped
    with pytest.raises(gradcore.NonfiniteGradientError, match="loss"):
        guard.step(optimizer, loss=math.nan)


def test_without_a_limit_it_never_raises(owner, optimizer):
    guard = gradcore.Guard([owner], max_consecutive=None)

    run(guard, owner, optimizer, *[math.nan] * 150)
    assert guard.history.summary()["skip_rate"] == 1.0


def test_steps_that_a_strategy_skips_do_not_count(owner, optimizer):
    class Never:
        name = "never"

        def __call__(self, statistics):
            return gradcore.Skip(statistics.norm > 0)

    guard = gradcore.Guard([owner], clip=Never(), max_consecutive=2)
    run(guard, owner, optimizer, 1.0, 2.0, 3.0, 4.0)
    assert owner.item() == 0.0
    assert all(report.skipped for report in guard.history)


def test_every_thins_out_history_checks_and_sinks(owner, optimizer):
    check, sink = training.Seen(), training.Seen()
    guard = gradcore.Guard([owner], every=5, checks=[check], sinks=[sink])

    run(guard, owner, optimizer, *[1.0] * 20)
    assert len(guard.history) == 4
    assert len(check.reports) == len(sink.reports) == 4


def test_every_never_thins_out_protection(owner, optimizer):
    guard = gradcore.Guard([owner], every=7)

    run(guard, owner, optimizer, *[1.0, math.nan] * 10)
    assert math.isfinite(owner.item())


def test_history_is_bounded(owner, optimizer):
    guard = gradcore.Guard([owner], history=3)

    run(guard, owner, optimizer, *[float(size) for size in range(1, 9)])
    assert [report.norm for report in guard.history] == [6.0, 7.0, 8.0]
    assert guard.history[-1].step == 7
    assert guard.history[0].norm == 6.0


def test_a_sink_that_raises_is_reported_once_and_switched_off(owner, optimizer, caplog):
    class Broken(training.Seen):
        name = "broken"

        def __call__(self, report, history=None):
            super().__call__(report, history or ())
            raise OSError("the disk is full")

    sink = Broken()
    guard = gradcore.Guard([owner], sinks=[sink])
    run(guard, owner, optimizer, 1.0, 1.0, 1.0)
    assert len(sink.reports) == 1
    assert len([record for record in caplog.records if "broken" in record.getMessage()]) == 1


def test_closing_closes_sinks(owner, optimizer):
    sink = training.Seen()
    with gradcore.Guard([owner], sinks=[sink]) as guard:
        run(guard, owner, optimizer, 1.0)
        assert sink.closed == 0

    assert sink.closed == 1
    guard.close()
    assert sink.closed == 1


def test_findings_of_a_check_stand_in_the_report(owner, optimizer):
    class Large:
        name = "large"

        def __call__(self, report, history):
            if report.norm > 5 and len(history) == report.step:
                yield gradcore.Finding("large", "warning", f"{report.norm}", "Clip it.")

    guard = gradcore.Guard([owner], checks=[Large()])
    run(guard, owner, optimizer, 1.0, 6.0)
    assert [len(report.findings) for report in guard.history] == [0, 1]
    assert [report.healthy for report in guard.history] == [True, False]
    assert guard.history.summary()["unhealthy_steps"] == 1


def test_a_guard_of_an_optimizer_sees_groups_added_later(owner, optimizer):
    guard = gradcore.Guard(optimizer)
    late = nn.Parameter(torch.zeros(1))
    optimizer.add_param_group({"params": [late]})
    late.grad = torch.tensor([math.nan])

    run(guard, owner, optimizer, 1.0)
    assert (owner.item(), late.item()) == (0.0, 0.0)
