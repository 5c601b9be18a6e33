"""Every policy that looks beyond NaN and Inf does so by an option of the same name."""

from __future__ import annotations

import math

import pytest

from gradcore.nonfinite import (
    Adaptive,
    Detect,
    Raise,
    Replace,
    Restore,
    Scale,
    Skip,
    Zero,
    ZeroParameter,
)

POLICIES = (Adaptive, Detect, Raise, Replace, Restore, Scale, Skip, Zero, ZeroParameter)


@pytest.mark.parametrize("policy", POLICIES)
def test_by_default_no_finite_magnitude_is_an_event(policy):
    assert policy().overflow == math.inf


@pytest.mark.parametrize("policy", POLICIES)
def test_it_can_be_any_positive_magnitude(policy):
    assert policy(overflow=1e7).overflow == 1e7


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("overflow", [0.0, -1.0, math.nan])
def test_it_must_be_positive(policy, overflow):
    with pytest.raises(ValueError, match="overflow must be greater than 0; got"):
        policy(overflow=overflow)
