"""Clipping and NaN handling: severity of findings (C4) and row C5 of what gradcore must do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import findings
import gradcore


def test_c4_the_severity_of_a_finding_grows_with_what_is_wrong():
    """A spike that was clipped, one that was not, and one beyond everything."""
    severities = []
    for times, options in ((9.0, {"max_norm": 2.0}), (9.0, {}), (1e6, {})):
        net = findings.network()
        loss_of = findings.regression(net)

        def planted(step, times=times, loss_of=loss_of):
            return loss_of(step) * (times if step == 30 else 1.0)

        run = findings.train(net, planted, 31, "default", lr=1e-4, **options)
        severities.append([finding.severity for finding in run.reports[30].findings])
        assert run.reports[30].healthy == (severities[-1] == ["info"])
    assert severities == [["info"], ["warning"], ["critical", "warning"]]


def test_c4_a_streak_turns_critical():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(net, lambda step: math.nan * loss_of(step), 25, ["nonfinite_streak"])
    assert run.steps == [(4, "warning"), (19, "critical")]


@pytest.mark.parametrize(
    ("gradient", "options", "loss", "score"),
    [
        ([3.0, 4.0], {}, None, 1.0),
        ([3.0, 4.0], {"max_norm": 10.0}, 0.5, 1.0),
        ([3.0, 4.0], {"max_norm": 0.05}, None, 0.1),
        ([3.0, 4.0, math.nan, 0.0], {"nonfinite": "zero"}, None, 0.75**4),
        ([3.0, 4.0, math.nan, 0.0], {"nonfinite": "zero", "max_norm": 1.25}, None, 0.75**4 / 2),
        ([3.0, 4.0, math.nan, 0.0], {"nonfinite": "skip"}, None, 0.75**4 / 2),
        ([3.0, 4.0], {"nonfinite": "propagate"}, math.inf, 0.0),
        ([math.nan, math.nan], {"nonfinite": "zero"}, None, 0.0),
    ],
    ids=str,
)
def test_c5_every_step_has_a_stability_score(gradient, options, loss, score):
    owner = nn.Parameter(torch.zeros(len(gradient)))
    owner.grad = torch.tensor(gradient)

    report = gradcore.Guard([owner], **options).apply(loss=loss)
    assert report.stability == pytest.approx(score, rel=1e-6)


def test_c5_a_history_of_scores_falls_where_training_was_disturbed():
    net = findings.network()
    loss_of = findings.regression(net)

    run = findings.train(
        net, lambda step: loss_of(step) * (math.nan if step == 5 else 1.0), 10, (), max_norm=1e3
    )
    scores = [report.stability for report in run.reports]
    assert [step for step, score in enumerate(scores) if score < 1.0] == [5]
