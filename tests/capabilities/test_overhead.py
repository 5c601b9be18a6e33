"""Row A7, overhead: what a guarded step does beside its one read, in operators of torch.

How long that takes is measured by ``gradcore bench --only steps``; here are the counts that do not
depend on the machine.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import gradcore


class Counting(TorchDispatchMode):
    """Writes down every operator, and how many elements its largest operand has."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        self.sizes.append(max((t.numel() for t in tensors), default=0))
        return func(*args, **(kwargs or {}))


def operators_of_a_step(parameters, bound):
    """Sizes of what the operators of one step of a guard work on, the first step aside."""
    owners = [torch.nn.Parameter(torch.ones(1000)) for _ in range(parameters)]
    guard = gradcore.Guard(owners, max_norm=bound)
    for owner in owners:
        owner.grad = torch.ones(1000)
    guard.apply()
    for owner in owners:
        owner.grad.fill_(1.0)
    with Counting() as counting:
        report = guard.apply()
    assert report.clipped_norm == pytest.approx(min(bound, (1000 * parameters) ** 0.5))
    return counting.sizes


@pytest.mark.parametrize("bound", [1e9, 0.5])
def test_a7_a_step_takes_as_many_operators_for_a_thousand_parameters_as_for_two(bound):
    few, many = operators_of_a_step(2, bound), operators_of_a_step(1000, bound)

    assert 0 < len(few) == len(many) <= 20


def test_a7_no_operator_of_torch_reads_a_gradient():
    columns = 2 + 1

    assert max(operators_of_a_step(2, 0.5)) <= 12 * columns
