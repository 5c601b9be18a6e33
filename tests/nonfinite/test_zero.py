"""Zero asks for zeros in place of non-finite elements, in every step."""

from __future__ import annotations

import pytest

from gradcore import plan
from gradcore.nonfinite import Zero


@pytest.mark.parametrize("step", ["good", "bad", "bad_loss"])
def test_elements_are_zeroed_and_the_step_is_taken(request, step):
    assert Zero()(request.getfixturevalue(step)) == plan.ZeroElements()
