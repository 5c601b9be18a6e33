"""Functions trace into one graph, and a compiled step is guarded whatever happens in it."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import training
from gradients import parameters


def owners():
    return parameters([torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])])


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def test_values_are_clipped_without_a_break_in_the_graph():
    clipped = owners()

    compiled(lambda: gradcore.clip_grad_value_(clipped, 2.0))()
    assert [owner.grad.flatten().tolist() for owner in clipped] == [[2.0, 0.0], [2.0]]


@pytest.mark.parametrize(
    ("norm_type", "norm"), [(1.0, 7.0), (2.0, 5.0), (3.0, 91 ** (1 / 3)), (math.inf, 4.0)]
)
def test_norms_are_taken_and_clipped_to_in_two_steps_without_a_break(norm_type, norm):
    clipped = owners()

    @compiled
    def step():
        total = gradcore.get_total_norm([owner.grad for owner in clipped], norm_type)
        gradcore.clip_grads_with_norm_(clipped, norm / 2, total)
        return total

    assert step().item() == pytest.approx(norm, rel=1e-6)
    assert clipped[0].grad.tolist() == pytest.approx([1.5, 0.0], rel=1e-5)
    assert step().item() == pytest.approx(norm / 2, rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_with_a_fault_is_skipped_and_the_next_is_taken():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    guard = gradcore.Guard(net, max_norm=1.0)
    guard.attach(optimizer)
    step = torch.compile(optimizer.step, backend="eager")
    changed = []
    for number in range(4):
        training.backward(net, number)
        if number == 2:
            training.plant(net[2].weight)
        before = training.state(net, optimizer)
        step()
        changed.append(training.state(net, optimizer) != before)

    assert changed == [True, True, False, True]
    assert [report.skipped for report in guard.history] == [False, False, True, False]
    assert training.finite(net)
