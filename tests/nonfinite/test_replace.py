"""Replace gives each kind of non-finite number its own finite value."""

from __future__ import annotations

import math

import pytest

from gradcore import plan
from gradcore.nonfinite import Replace


@pytest.mark.parametrize("step", ["good", "bad", "bad_loss"])
def test_values_are_put_in_place_and_the_step_is_taken(request, step):
    policy = Replace(nan=1.0, posinf=2.0, neginf=-3.0)

    assert policy(request.getfixturevalue(step)) == plan.Replace(1.0, 2.0, -3.0)


def test_by_default_nan_is_zero_and_infinities_are_a_million():
    assert Replace().replacement == plan.Replace(nan=0.0, posinf=1e6, neginf=-1e6)


def test_the_measurement_is_told_what_the_plan_will_say(bad):
    policy = Replace(nan=0.5)

    assert policy.replacement == policy(bad)


@pytest.mark.parametrize("option", ["nan", "posinf", "neginf"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_must_be_finite(option, value):
    with pytest.raises(ValueError, match=f"{option} must be finite; got {value}"):
        Replace(**{option: value})


@pytest.mark.parametrize("option", ["nan", "posinf", "neginf"])
@pytest.mark.parametrize("value", [101.0, -101.0])
def test_values_must_not_be_events_themselves(option, value):
    options = {"nan": 0.0, "posinf": 100.0, "neginf": -100.0, option: value}

    with pytest.raises(ValueError, match=f"{option} must lie within overflow=100.0; got {value}"):
        Replace(**options, overflow=100.0)
