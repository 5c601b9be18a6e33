"""What is usual is what steps that were taken and finite were like."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import gradcore
from gradcore.checks.past import norms_before


@pytest.fixture
def report():
    owner = nn.Parameter(torch.zeros(1))
    owner.grad = torch.ones(1)
    return gradcore.Guard([owner]).apply()


def history_of(*reports):
    history = gradcore.History(100)
    for report in reports:
        history.append(report)
    return history


def test_the_last_norms_oldest_first(report):
    history = history_of(*(replace(report, norm=float(i)) for i in range(6)))

    assert norms_before(history, 4).tolist() == [2.0, 3.0, 4.0, 5.0]
    assert norms_before(history, 100).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert norms_before(gradcore.History(10), 4).tolist() == []


@pytest.mark.parametrize(
    "untrusted",
    [
        {"skipped": True},
        {"nonfinite": gradcore.Counts(nan=1)},
        {"nonfinite": gradcore.Counts(posinf=1)},
        {"nonfinite": gradcore.Counts(neginf=1)},
        {"norm": float("inf")},
        {"norm": float("nan")},
    ],
    ids=str,
)
def test_a_step_that_cannot_be_trusted_is_left_out(report, untrusted):
    odd = replace(report, **{"norm": 7.0, **untrusted})

    assert norms_before(history_of(report, odd, report), 10).tolist() == [1.0, 1.0]
