"""Training survives faults of every kind under every policy that protects, and goes on learning."""

from __future__ import annotations

import pytest

import soak

STEPS = 240


@pytest.mark.parametrize("policy", soak.POLICIES, ids=lambda p: p if isinstance(p, str) else p[0])
def test_nothing_is_ever_poisoned_and_the_model_learns(policy):
    outcome = soak.soak(policy, STEPS)

    assert outcome.poisoned == 0
    assert outcome.events > STEPS / 10
    assert outcome.last_loss < outcome.first_loss


def test_without_a_policy_the_same_training_is_lost():
    """So the faults are real, and the test above can fail."""
    assert soak.soak("propagate", STEPS).poisoned > STEPS / 2
