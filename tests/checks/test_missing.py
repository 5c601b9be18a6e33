"""A parameter that gets no gradient is missing: from the start, or since it lost it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import findings
from gradcore.checks import Missing


class Branches(nn.Module):
    """The sum of two branches, of which one can be left out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(4, 1), nn.Linear(4, 1)
        self.both = True

    def forward(self, inputs):
        return self.left(inputs) + (self.right(inputs) if self.both else 0.0)


def test_a_frozen_branch_is_mentioned_and_the_step_is_healthy():
    net = Branches()
    net.right.requires_grad_(requires_grad=False)

    run = findings.train(net, findings.regression(net), 15, Missing())
    assert run.norms[9]["right.weight"] is None
    assert run.steps == [(9, "info")]
    _, finding = run.found[0]
    assert finding.parameters == ("right.weight", "right.bias")
    assert finding.values == {"parameters": 2.0, "steps": 10.0}
    assert "frozen on purpose" in finding.recommendation
    assert run.reports[9].healthy


def test_a_branch_that_is_no_longer_taken_is_a_warning():
    net = Branches()
    loss_of = findings.regression(net)

    def planted(step):
        net.both = step < 5
        return loss_of(step)

    run = findings.train(net, planted, 20, Missing())
    assert run.steps == [(14, "warning")]
    assert run.found[0][1].parameters == ("right.weight", "right.bias")


def test_a_branch_taken_now_and_then_is_not_missing():
    net = Branches()
    loss_of = findings.regression(net)

    def planted(step):
        net.both = step % 7 == 0
        return loss_of(step)

    assert findings.train(net, planted, 40, Missing()).found == []


def test_no_gradients_at_all_are_critical():
    """As if backward() had been forgotten."""
    run = findings.train(Branches(), lambda step: None, 25, Missing(again=10))

    assert run.steps == [(9, "critical"), (19, "critical")]
    assert "backward()" in run.found[0][1].recommendation


@pytest.mark.parametrize("options", [{"steps": True}, {"again": -1}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Missing(**options)
