"""Functions trace into one graph, and a compiled step is guarded whatever happens in it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.library import opcheck

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


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("policy", ["zero", "skip"])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_what_is_not_finite_is_repaired_or_left_without_a_break(policy, backend):
    clipped = owners()
    clipped[1].grad.fill_(math.nan)

    @torch.compile(fullgraph=True, backend=backend)
    def step():
        return gradcore.clip_grad_norm_(clipped, 1.5, nonfinite=policy)

    norm = step().item()
    assert math.isnan(norm) if policy == "skip" else norm == 3.0
    left = [owner.grad.flatten().tolist() for owner in clipped]
    if policy == "zero":
        assert left == [pytest.approx([1.5, 0.0], rel=1e-6), [0.0]]
    else:
        assert left[0] == [3.0, 0.0]
        assert math.isnan(left[1][0])


def test_what_has_to_wait_for_numbers_breaks_the_graph_and_is_right():
    """An error, and counts that are told as numbers; torch's own error is no different."""
    clipped = owners()
    clipped[1].grad.fill_(math.nan)

    @torch.compile(backend="aot_eager")
    def clip():
        return gradcore.clip_grad_norm_(clipped, 1.5, error_if_nonfinite=True)

    @torch.compile(backend="aot_eager")
    def repair():
        return gradcore.repair_(clipped)

    with pytest.raises(RuntimeError, match="1 of 3 elements"):
        clip()
    assert repair().nan == 1
    assert [owner.grad.flatten().tolist() for owner in clipped] == [[3.0, 0.0], [0.0]]
    assert clip().item() == 3.0


MIXED = [torch.tensor([1.0, math.nan]), torch.ones(2, 3), torch.ones(0, 2)]
UNITS = ([1, 2, 0], 0)
FACTOR, FACTORS = torch.tensor(0.5).double(), torch.tensor([0.5, 1.0, 0.25]).double()
MEASURED = (31, 3.0, math.inf, [0.25, 7.0, -1e5])


def arguments_of(name):
    """Some for every operator there is; a new one wants a line here."""
    tensors = [tensor.clone() for tensor in MIXED]
    table = torch.ops.gradcore.measure(tensors, 0, 2.0, math.inf, None)
    skip = torch.tensor(False)
    return {
        "measure": (tensors, *MEASURED),
        "measure_units": (tensors, *UNITS, *MEASURED),
        "apply_": (tensors, table, FACTOR, skip, 1, None, math.inf, 2.0),
        "apply_units_": (tensors, table, FACTORS, *UNITS, skip, 1, None, math.inf),
    }[name.replace("_composite", "")]


OPERATORS = sorted(
    name.removeprefix("gradcore::")
    for name in torch._C._dispatch_get_all_op_names()  # noqa: SLF001 - there is no public list
    if name.startswith("gradcore::")
)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_that_is_registered_passes_opcheck(name):
    opcheck(getattr(torch.ops.gradcore, name).default, arguments_of(name))


def test_operators_come_in_pairs_one_of_plain_aten_operators():
    native = {name for name in OPERATORS if "_composite" not in name}

    twins = {f"{name.removesuffix('_')}_composite{'_' * name.endswith('_')}" for name in native}
    assert {*OPERATORS} == native | twins
    assert {"measure", "measure_units", "apply_", "apply_units_"} <= native


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_step_with_a_fault_is_skipped_and_the_next_is_taken(backend):
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    guard = gradcore.Guard(net, max_norm=1.0)
    guard.attach(optimizer)
    step = torch.compile(optimizer.step, backend=backend)
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
