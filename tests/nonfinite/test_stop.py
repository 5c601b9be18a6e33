"""Raise stops at the steps that cannot be trusted, and at no other."""

from __future__ import annotations

import pytest

from gradcore import plan
from gradcore.nonfinite import Raise


@pytest.mark.parametrize(("step", "stopped"), [("good", False), ("bad", True), ("bad_loss", True)])
def test_training_stops_where_gradients_or_loss_are_not_finite(request, step, stopped):
    verb = Raise()(request.getfixturevalue(step))

    assert isinstance(verb, plan.Stop)
    assert verb.when.shape == ()
    assert bool(verb.when) is stopped
