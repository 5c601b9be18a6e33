"""Clipping that is always at work, or never, is mentioned."""

from __future__ import annotations

import statistics

import pytest

import findings
from gradcore.checks import ClipRate


def test_a_bound_far_below_the_norms_clips_every_step():
    net = findings.network()

    check = ClipRate(window=30, again=20)
    run = findings.train(net, findings.regression(net), 60, check, lr=1e-3, max_norm=1e-3)
    assert all(report.clipped for report in run.reports)
    assert run.steps == [(29, "info"), (49, "info")]
    assert run.found[0][1].values == {"share": 1.0, "window": 30.0}
    assert f"median was {statistics.median(run.joint[:30]):.3g}" in run.found[0][1].message
    assert all(report.healthy for report in run.reports)


def test_a_share_that_is_just_below_is_not_said():
    """Of every twenty steps one has a hundredth of the loss: 95 %."""
    net = findings.network()
    loss_of = findings.regression(net)

    def planted(step):
        return loss_of(step) * (1e-6 if step % 20 == 0 else 1.0)

    run = findings.train(net, planted, 100, ClipRate(share=0.96), lr=1e-4, max_norm=1e-3)
    assert sum(report.clipped for report in run.reports) == 95
    assert run.found == []
    run = findings.train(net, planted, 100, ClipRate(share=0.95), lr=1e-4, max_norm=1e-3)
    assert run.steps == [(99, "info")]


def test_a_bound_that_does_nothing_is_said_once_and_anew_after_it_did_something():
    net = findings.network()
    loss_of = findings.regression(net)

    def planted(step):
        return loss_of(step) * (1e4 if step == 50 else 1.0)

    check = ClipRate(idle=20)
    run = findings.train(net, planted, 90, check, lr=1e-5, max_norm=100.0, history=500)
    assert [step for step, report in enumerate(run.reports) if report.clipped] == [50]
    assert [step for step, _ in run.steps] == [19, 70]
    assert f"largest norm was {max(run.joint[:20]):.3g}" in run.found[0][1].message


def test_a_history_that_is_full_does_not_make_it_repeat_itself():
    net = findings.network()

    check = ClipRate(idle=20)
    run = findings.train(net, findings.regression(net), 60, check, max_norm=100.0, history=20)
    assert [step for step, _ in run.steps] == [19]


@pytest.mark.parametrize(
    "options", [{"share": 1.5}, {"share": 0.0}, {"window": 0}, {"idle": 0}, {"again": 0}], ids=str
)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ClipRate(**options)
