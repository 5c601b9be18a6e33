"""Detect changes nothing, whatever it is told to look for."""

from __future__ import annotations

import math

import pytest

from gradcore import plan
from gradcore.nonfinite import Detect


@pytest.mark.parametrize("overflow", [1.0, math.inf])
@pytest.mark.parametrize("step", ["good", "bad", "bad_loss"])
def test_nothing_is_repaired_skipped_or_stopped(request, step, overflow):
    assert Detect(overflow=overflow)(request.getfixturevalue(step)) == plan.Propagate()
