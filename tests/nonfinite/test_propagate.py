"""Propagate leaves everything non-finite where it is."""

from __future__ import annotations

import pytest

from gradcore import plan
from gradcore.nonfinite import Propagate


@pytest.mark.parametrize("step", ["good", "bad", "bad_loss"])
def test_nothing_is_repaired_skipped_or_stopped(request, step):
    assert Propagate()(request.getfixturevalue(step)) == plan.Propagate()


def test_there_is_nothing_to_set():
    with pytest.raises(TypeError):
        Propagate(overflow=1e6)
