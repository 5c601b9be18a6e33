"""Restore asks to go back at the steps that cannot be trusted, and at no other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gradcore
from gradcore import plan
from gradcore.nonfinite import Restore


@pytest.mark.parametrize(("step", "back"), [("good", False), ("bad", True), ("bad_loss", True)])
def test_training_goes_back_where_gradients_or_loss_are_not_finite(request, step, back):
    verb = Restore()(request.getfixturevalue(step))

    assert isinstance(verb, plan.Restore)
    assert verb.when.shape == ()
    assert bool(verb.when) is back


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_steps_between_snapshots_are_counted(every):
    with pytest.raises(ValueError, match="snapshot_every must be a whole number"):
        Restore(snapshot_every=every)


def test_a_device_that_does_not_exist_is_refused_when_the_guard_is_made():
    owner = nn.Parameter(torch.zeros(1))

    with pytest.raises(ValueError, match="device must be .*; got 'nowhere'"):
        gradcore.Guard([owner], nonfinite=("restore", {"device": "nowhere"}))
