"""Detect changes nothing, whatever it is told to look for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

import gradcore
from gradcore import plan
from gradcore.nonfinite import Detect

LARGE = {
    "none": (None, [[3e6, 4.0], [0.0, 12.0]]),
    # The factor is that of the elements within 1e6: their norms are 4 and 12, jointly sqrt(160).
    "one for all": ("global_norm", [[3e6 / 160**0.5, 4 / 160**0.5], [0.0, 12 / 160**0.5]]),
    "one each": ("per_parameter_norm", [[0.75e6, 1.0], [0.0, 1.0]]),
    "a limit": (("value", {"limit": 5.0}), [[5.0, 4.0], [0.0, 5.0]]),
}


@pytest.mark.parametrize("overflow", [1.0, math.inf])
@pytest.mark.parametrize("step", ["good", "bad", "bad_loss"])
def test_nothing_is_repaired_skipped_or_stopped(request, step, overflow):
    assert Detect(overflow=overflow)(request.getfixturevalue(step)) == plan.Propagate()


@pytest.mark.parametrize("scale", [None, 1024.0])
@pytest.mark.parametrize(("clip", "left"), LARGE.values(), ids=LARGE)
def test_norms_are_of_large_elements_too_since_they_stay(clip, left, scale):
    owners = [nn.Parameter(torch.zeros(2)) for _ in left]
    optimizer = torch.optim.SGD(owners, lr=1.0)
    scaler = None if scale is None else GradScaler("cpu", init_scale=scale)
    for owner, values in zip(owners, ([3e6, 4.0], [0.0, 12.0]), strict=True):
        owner.grad = torch.tensor(values) * (scale or 1.0)
    if scaler is not None:
        scaler.scale(torch.zeros(()))  # as before a backward pass
    norm = {"max_norm": 1.0} if isinstance(clip, str) else {}
    guard = gradcore.Guard(optimizer, clip=clip, nonfinite=("detect", {"overflow": 1e6}), **norm)

    report = guard.step(optimizer, scaler=scaler)

    assert report.nonfinite.posinf == 1
    for owner, values in zip(owners, left, strict=True):
        assert owner.tolist() == pytest.approx([-value for value in values], rel=1e-6)
    assert report.norm == pytest.approx(math.hypot(3e6, 4.0, 12.0), rel=1e-12)
    assert report.clipped_norm == pytest.approx(math.hypot(*left[0], *left[1]), rel=1e-6)
    assert report.clipped == (clip is not None)


def test_a_step_that_the_strategy_skips_has_the_norm_of_what_is_within():
    """As any skipped step has the norm of the finite elements."""
    owner = nn.Parameter(torch.zeros(3))
    owner.grad = torch.tensor([3e6, 3.0, 4.0])

    class Never:
        name = "never"

        def __call__(self, statistics):
            return plan.Skip(torch.tensor(True))

    guard = gradcore.Guard([owner], clip=Never(), nonfinite=("detect", {"overflow": 1e6}))

    assert guard.apply().norm == 5.0
