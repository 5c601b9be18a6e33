"""`marginals` are log-sum-exps over all axes but one."""

from __future__ import annotations

import math

import pytest
import torch

from gradcore.numerics.marginals import marginals


@pytest.mark.parametrize("axes", range(1, 9))
def test_each_axis_gets_the_sum_over_all_others(axes):
    joint = torch.randn(*range(2, 2 + min(axes, 4)), *[2] * (axes - 4), dtype=torch.float64)

    found = marginals(joint)
    assert len(found) == axes
    for axis, ours in enumerate(found):
        rest = joint.exp().movedim(axis, 0).reshape(joint.shape[axis], -1)
        torch.testing.assert_close(ours, rest.sum(1).log())


def test_a_row_far_below_the_others_is_not_lost():
    joint = torch.zeros(2, 3, 2)
    joint[1] = -1e6

    assert marginals(joint)[0][1].item() == pytest.approx(math.log(6) - 1e6, abs=0.1)
