"""The operators for units keep their promises, trace, and agree with their plain ATen twins."""

from __future__ import annotations

import math

import pytest
import torch
from torch.library import opcheck

import gradcore
import gradients
import oracle
import units
from gradcore import core
from gradients import DTYPES, NARROW, make, name_of, parameters

VALUES = [0.25, 7.0, -1e5]
REPAIRS = [gradcore.Propagate(), gradcore.ZeroElements(), gradcore.Replace(*VALUES)]

operators = torch.ops.gradcore

UNITS = ([1, 2, 0], 0)  # of three tensors, along the first axis


@pytest.mark.parametrize("name", ["measure_units", "measure_units_composite"])
@pytest.mark.parametrize("replacement", [None, VALUES], ids=["", "replacement"])
def test_measuring_units_passes_opcheck(name, replacement):
    tensors = [make([1.0, math.nan], torch.float32), torch.ones(2, 3), torch.ones(0, 2)]

    opcheck(getattr(operators, name).default, (tensors, *UNITS, 31, 3.0, math.inf, replacement))


@pytest.mark.parametrize("name", ["apply_units_", "apply_units_composite_"])
@pytest.mark.parametrize("skip", [None, torch.tensor(False)], ids=["", "skip"])
def test_applying_to_units_passes_opcheck(name, skip):
    tensors = [make([1.0, math.nan], torch.float32), torch.ones(2, 3), torch.ones(0, 2)]
    table = operators.measure(tensors, 0, 2.0, math.inf, None)
    factors = torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)

    arguments = (tensors, table, factors, *UNITS, skip, 1, None, math.inf)
    opcheck(getattr(operators, name).default, arguments)


SIZES = {"contiguous": 1e-170, "backwards": 1e200, "channels_last": 1.0, "expanded units": 1.0}
SIZES |= {"expanded within units": 1.0, "sparse rows": 1e-170, "sparse": 1e200, "conjugated": 1.0}


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("layout", SIZES)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_both_ways_of_measuring_units_agree(dtype, layout, axis):
    size = SIZES[layout] if dtype in (torch.float64, torch.complex128) else 1.0
    values = [3.0 * size, 0.0, -size, math.nan, complex(size, 2 * size), -math.inf, 7.0 * size]
    gradient = units.LAYOUTS[layout](units.shaped(values, (5, 4, 2, 3), dtype))
    wanted = units.norms(gradient, axis)

    counts = ([len(wanted)], axis)
    table, norms = operators.measure_units_composite([gradient], *counts, 0, 2.0, math.inf, None)
    error = gradients.tolerance(dtype)
    assert norms.tolist() == [pytest.approx(norm, rel=error, abs=5e-324) for norm in wanted]
    assert table[2:5, 0].tolist() == gradcore.measure(parameters([gradient])).table[2:5, 0].tolist()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("repair", [0, 2])
@pytest.mark.parametrize(
    "layout", sorted({*SIZES} - {"conjugated"})
)  # torch refuses to dispatch it
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_both_ways_of_applying_to_units_agree(dtype, layout, repair, axis):
    values = [3.0, -0.0, -1.0, math.nan, 1 + 2j, -math.inf, 7.0, 0.25]
    twins = [units.LAYOUTS[layout](units.shaped(values, (5, 4, 2, 3), dtype)) for _ in range(2)]
    count = twins[0].shape[axis]
    factors = torch.tensor([0.5, 1.0, 1 / 3, 0.0, 1e-60][:count], dtype=torch.float64)
    by = VALUES if repair == 2 else None

    for name, tensor in zip(["apply_units_", "apply_units_composite_"], twins, strict=True):
        owner = parameters([tensor])
        table = gradcore.measure(owner).table
        rest = ([count], axis, None, repair, by, math.inf)
        if name == "apply_units_":  # a list with a sparse tensor would be dispatched elsewhere
            bound, verb = gradcore.ScaleUnits(factors), REPAIRS[repair]
            core.apply_(owner, table, bound, verb, unit_axis=axis)
        else:
            operators.apply_units_composite_([owner[0].grad], table, factors, *rest)
    pairs = gradients.differences(
        twins[1], gradients.elements(twins[0]), ulps=2 if dtype in NARROW else 0
    )
    assert [pair for pair in pairs if not all(map(oracle.is_nan, pair))] == []


def test_units_are_measured_and_scaled_without_a_break_in_the_graph():
    weight, bias = parameters([torch.tensor([[3.0, 4.0], [0.6, 0.8]]), torch.tensor([6.0, 8.0])])
    missing = torch.nn.Parameter(torch.ones(2, 2))

    @torch.compile(fullgraph=True, backend="aot_eager")
    def step() -> torch.Tensor:
        statistics = gradcore.measure([weight, missing, bias], "unit_l2")
        factors = (1.0 / statistics.unit_l2).clamp(max=1.0)
        core.apply_(
            [weight, missing, bias],
            statistics.table,
            gradcore.ScaleUnits(factors),
            gradcore.Propagate(),
        )
        return statistics.unit_l2

    assert step().tolist() == pytest.approx([5.0, 1.0, 0.0, 0.0, 10.0], rel=1e-6)
    assert step().tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0, 1.0], rel=1e-6)
    assert weight.grad[0].tolist() == pytest.approx([0.6, 0.8])
