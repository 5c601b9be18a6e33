"""ZeroParameter gives up the gradient of every parameter with a fault, and of no other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
from gradcore import plan
from gradcore.nonfinite import ZeroParameter


@pytest.mark.parametrize("step", ["good", "bad", "bad_loss"])
def test_the_verb_is_the_same_in_every_step(request, step):
    assert ZeroParameter()(request.getfixturevalue(step)) == plan.ZeroParameters()


def test_a_gradient_with_one_fault_is_given_up_and_the_others_are_clipped_without_it():
    owners = [nn.Parameter(torch.zeros(3)) for _ in range(2)]
    owners[0].grad = torch.tensor([30.0, math.inf, 40.0])
    owners[1].grad = torch.tensor([3.0, 0.0, 4.0])

    report = gradcore.Guard(owners, nonfinite="zero_parameter", max_norm=2.5).apply()
    assert owners[0].grad.tolist() == [0.0, 0.0, 0.0]
    assert owners[1].grad.tolist() == [1.5, 0.0, 2.0]
    assert (report.norm, report.clipped_norm, report.scale) == (5.0, 2.5, 0.5)
    assert (report.repaired, report.nonfinite.posinf, report.skipped) == (1, 1, False)
