"""`ScaleUnits` multiplies each unit by its factor and keeps its hands off everything else."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradcore
import gradients
import units
from gradcore import core
from gradients import DTYPES, NARROW, name_of, parameter, parameters

VALUES = [3.0, -0.0, 2.5, -4.0, 1 + 2j, 0.25, 7.0, -1.0, 1e-4, 6.0, -2j]
FAULTY = [math.nan, 3.0, 2.0, -math.inf, complex(1, math.inf), 0.5, 5.0, -1.0, 2.5, 8.0, -7.0]
FACTORS = (1.0, 0.5, 1 / 3, 1e-60, 0.0, 0.1, 1.0)
SHARED = {
    "expanded units": (0,),
    "expanded within units": (1,),
    "expanded in both": (0, 1),
}


def doubles(values):
    return torch.tensor(list(values), dtype=torch.float64)


def differences(unit, wanted, layout):
    # What is sparse comes here by additions to zero, which lose the sign of another.
    signed = "sparse" not in layout
    return gradients.differences(unit, wanted, ulps=unit.dtype in NARROW, signed_zeros=signed)


def scale(owners, factors, repair=None, *, axis=0, **options):
    """Measure, and carry out factors and a repair."""
    table = core.measure(owners, replacement=options.pop("replacement", None)).table
    bound = gradcore.ScaleUnits(doubles(factors))
    core.apply_(owners, table, bound, repair or gradcore.Propagate(), unit_axis=axis, **options)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("layout", units.LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_every_dtype_and_layout(dtype, layout, axis):
    gradient = units.LAYOUTS[layout](units.shaped(VALUES, (4, 3, 2, 3), dtype))
    owner = parameter(gradient)
    count = gradient.shape[axis]
    # Units that are the same memory cannot have different factors.
    shared = axis in SHARED.get(layout, ())
    factors = [0.5] * count if shared else list(FACTORS[:count])
    wanted = units.scaled(gradient, factors, axis)

    scale([owner], factors, axis=axis)
    for unit, elements in zip(units.slices(owner.grad, axis), wanted, strict=True):
        assert differences(unit, elements, layout) == []


@pytest.mark.parametrize("layout", ["contiguous", "backwards", "middle first", "sparse rows"])
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_a_unit_with_a_factor_of_one_keeps_every_bit(dtype, layout):
    part = gradients.PART.get(dtype, dtype)
    values = [-0.0, *gradients.EXTREMES[part], math.nan, complex(math.inf, -0.0), 1.5]
    owner = parameter(units.LAYOUTS[layout](units.shaped(values, (5, 4), dtype)))
    before = [gradients.bits(unit) for unit in units.slices(owner.grad)]

    scale([owner], [1.0, 0.5, 1.0, 1.0, 0.25])
    after = [gradients.bits(unit) for unit in units.slices(owner.grad)]
    assert [after[i] for i in (0, 2, 3)] == [before[i] for i in (0, 2, 3)]
    assert after[1] != before[1]


def test_a_gradient_that_needs_nothing_is_not_written():
    owners = parameters([torch.ones(3, 2), torch.ones(2, 2)])

    def versions():
        return [owner.grad._version for owner in owners]  # noqa: SLF001 - autograd's own count

    first, second = versions()
    scale(owners, [1.0, 1.0, 1.0, 0.5, 1.0])
    assert versions() == [first, second + 1]
    assert owners[1].grad.tolist() == [[0.5, 0.5], [1.0, 1.0]]


REPAIRS = {
    "elements": gradcore.ZeroElements(),
    "values": gradcore.Replace(nan=0.25, posinf=7.0, neginf=-1e5),
    "parameters": gradcore.ZeroParameters(),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("layout", ["contiguous", "backwards", "gaps", "sparse rows"])
@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_repair_comes_before_scaling(dtype, repair, layout, axis):
    owners = parameters(
        units.LAYOUTS[layout](units.shaped(FAULTY, (5, 4), dtype)).clone() for _ in range(2)
    )
    verb, count = REPAIRS[repair], (5, 4)[axis]
    # The repair alone has tests of its own.
    core.apply_(owners[:1], core.measure_table(owners[:1], ()), gradcore.Keep(), verb)
    wanted = units.scaled(owners[0].grad, FACTORS[:count], axis)

    scale(owners[1:], FACTORS[:count], verb, axis=axis)
    for unit, elements in zip(units.slices(owners[1].grad, axis), wanted, strict=True):
        assert differences(unit, elements, layout) == []


def test_units_that_are_the_same_memory_get_the_smallest_factor():
    owner = parameter(torch.tensor([[8.0, 4.0]]).expand(3, 2))

    scale([owner], [1.0, 0.25, 0.5])
    assert owner.grad.tolist() == [[2.0, 1.0]] * 3


def test_memory_that_is_listed_twice_is_scaled_once():
    memory = torch.full((2, 2), 8.0)
    owners = parameters([memory, memory])

    scale(owners, [0.5, 1.0, 0.5, 0.5])
    assert memory.tolist() == [[4.0, 4.0], [8.0, 8.0]]


def test_missing_gradients_and_vectors_take_their_place_in_the_row_of_factors():
    missing = torch.nn.Parameter(torch.ones(2, 3))
    owners = [*parameters([torch.full((3,), 8.0)]), missing, *parameters([torch.full((2, 1), 8.0)])]

    scale(owners, [0.5, 0.1, 0.1, 0.25, 1.0])
    assert owners[0].grad.tolist() == [4.0] * 3
    assert missing.grad is None
    assert owners[2].grad.tolist() == [[2.0], [8.0]]


@given(st.lists(gradients.gradients(layouts=("flat", "transposed", "offset")), max_size=3))
def test_a_skip_changes_no_bit(tensors):
    owners = parameters(tensors)
    before = [gradients.memory(tensor) for tensor in tensors]
    count = sum(len(units.slices(tensor)) for tensor in tensors)

    scale(owners, [0.5] * count, gradcore.ZeroElements(), skip=torch.tensor(True))
    assert [gradients.memory(tensor) for tensor in tensors] == before


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("layout", ["contiguous", "backwards", "middle first"])
@pytest.mark.parametrize("shape", [(3, 50_001), (50_001, 3), (700, 900), (130, 64, 3, 3)], ids=str)
def test_units_that_lie_across_blocks(shape, layout, axis):
    """A float32 times a float64, rounded once."""
    gradient = units.LAYOUTS[layout](torch.randn(shape))
    factors = torch.rand(shape[axis], dtype=torch.float64)
    factors[::3] = 1.0
    along = [-1 if d == axis else 1 for d in range(len(shape))]
    wanted = (gradient.double() * factors.view(along)).float()

    scale([parameter(gradient)], factors, axis=axis)
    assert torch.equal(gradient, wanted)


@pytest.mark.parametrize("count", [3, 5])
def test_factors_are_as_many_as_units(count):
    owner = parameter(torch.ones(4, 2))

    with pytest.raises(ValueError, match=rf"one for each of the 4 units; got Double \[{count}\]"):
        scale([owner], [0.5] * count)
    assert owner.grad.tolist() == [[1.0, 1.0]] * 4
