"""Skip skips the steps that cannot be trusted, and no other."""

from __future__ import annotations

import pytest

from gradcore import plan
from gradcore.nonfinite import Skip


@pytest.mark.parametrize(("step", "skipped"), [("good", False), ("bad", True), ("bad_loss", True)])
def test_a_step_is_skipped_where_gradients_or_loss_are_not_finite(request, step, skipped):
    verb = Skip()(request.getfixturevalue(step))

    assert isinstance(verb, plan.Skip)
    assert verb.when.shape == ()
    assert bool(verb.when) is skipped
