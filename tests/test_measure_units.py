"""Norms of units are those of exact arithmetic, wherever in memory a unit lies."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradcore
import gradients
import units
from gradients import DTYPES, make, name_of, parameter, parameters

NEED = ("unit_l2",)
VALUES = [3.0, -1.5, 0.0, 1 + 2j, -4.0, 0.25, 7.0, -1.0, 2.5, 0.0, -2j, 6.0, 1e-3]
FAULTY = [math.nan, 3.0, 2.0, -math.inf, complex(1, math.inf), 0.5, 5.0, -1.0, 2.5, 8.0, -7.0]
SHAPES = ((5, 4), (3, 4, 2, 3))
SMALLEST = 5e-324


def assert_norms(got, wanted, dtype):
    error = gradients.tolerance(dtype)
    assert got.tolist() == [pytest.approx(norm, rel=error, abs=SMALLEST) for norm in wanted]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("layout", units.LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_every_dtype_and_layout(dtype, layout, axis):
    for shape in SHAPES:
        for values in (VALUES, FAULTY):
            gradient = units.LAYOUTS[layout](units.shaped(values, shape, dtype))
            wanted = units.norms(gradient, axis)

            got = gradcore.measure([parameter(gradient)], NEED, unit_axis=axis)
            assert_norms(got.unit_l2, wanted, dtype)
            assert got.units.tolist() == [len(wanted)]


@given(st.lists(gradients.gradients(), max_size=4), st.sampled_from([0, -1]))
def test_lists_of_mixed_dtypes_and_layouts(tensors, axis):
    got = gradcore.measure(parameters(tensors), NEED, unit_axis=axis)

    wanted = [units.norms(tensor, axis) for tensor in tensors]
    assert got.units.tolist() == [len(norms) for norms in wanted]
    for tensor, norms, of_tensor in zip(
        tensors, wanted, got.unit_l2.split(got.units.tolist()), strict=True
    ):
        assert_norms(of_tensor, norms, tensor.dtype)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("layout", ["contiguous", "backwards", "middle first", "expanded units"])
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_overflow_and_replacements_are_those_of_the_table(dtype, layout, axis):
    gradient = units.LAYOUTS[layout](units.shaped(FAULTY, (6, 5), dtype))
    values = gradcore.Replace(nan=0.1, posinf=3.0, neginf=-1e5)

    got = gradcore.measure([parameter(gradient)], NEED, overflow=4.0, unit_axis=axis)
    assert_norms(got.unit_l2, units.norms(gradient, axis, overflow=4.0), dtype)
    got = gradcore.measure(
        [parameter(gradient)], NEED, overflow=4.0, replacement=values, unit_axis=axis
    )
    wanted = units.norms(gradient, axis, overflow=4.0, replacement=(0.1, 3.0, -1e5))
    assert_norms(got.unit_l2, wanted, dtype)


@pytest.mark.parametrize("layout", ["contiguous", "backwards"])
@pytest.mark.parametrize("width", [3, 100])
def test_a_huge_unit_hides_no_tiny_one(layout, width):
    """The squares of the one are no float64, and those of the other are zero."""
    sizes = torch.tensor([1e-300, 1e200, 1.0, 5e-324, 1.7e308 / width, 0.0], dtype=torch.float64)
    gradient = units.LAYOUTS[layout](sizes[:, None].repeat(1, width))

    got = gradcore.measure([parameter(gradient)], NEED)
    assert_norms(got.unit_l2, units.norms(gradient), torch.float64)


BIG = [
    (3, 50_001),
    (50_001, 3),
    (700, 900),
    (257, 64, 3, 3),
    (40_000, 1),
    (1, 40_000),
    (2, 5, 9999),
]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("layout", ["contiguous", "backwards", "middle first", "channels_last"])
@pytest.mark.parametrize("shape", BIG, ids=str)
def test_units_that_lie_across_blocks(shape, layout, axis):
    gradient = units.LAYOUTS[layout](torch.randn(shape))
    rest = tuple(d for d in range(len(shape)) if d != axis)
    wanted = torch.linalg.vector_norm(gradient.double(), dim=rest)

    got = gradcore.measure([parameter(gradient)], NEED, unit_axis=axis)
    assert torch.allclose(got.unit_l2, wanted, rtol=1e-13, atol=0)


def wide_lists():
    gradient = torch.randn(700, 900)
    gradient[::97, ::31] = math.nan
    return [gradient, torch.randn(900, 700).t(), torch.randn(200_003), torch.randn(30, 64, 3, 3)]


@pytest.mark.parametrize("axis", [0, 1])
def test_the_bits_are_the_same_for_any_number_of_threads(axis, threads):
    owners = parameters(wide_lists())

    results = set()
    for count in (1, 2, 3, 7):
        threads(count)
        statistics = gradcore.measure(owners, NEED, unit_axis=axis)
        results.add(gradients.bits(statistics.unit_l2) + gradients.bits(statistics.table))
    assert len(results) == 1


@pytest.mark.parametrize("needs", [(), ("l1", "max_abs", "sum", "zeros"), ("lp",)], ids=str)
def test_the_table_is_the_same_with_units_and_without(needs):
    owners = parameters(wide_lists())

    without = gradcore.measure(owners, needs, norm_type=3.0).table
    beside = gradcore.measure(owners, (*needs, *NEED), norm_type=3.0).table
    assert torch.allclose(beside, without, rtol=1e-13, atol=0, equal_nan=True)


def test_a_missing_gradient_has_units_of_norm_zero():
    missing = torch.nn.Parameter(torch.ones(2, 3))
    owners = [missing, *parameters([torch.tensor([[3.0, 4.0], [0.0, 1.0]])])]

    got = gradcore.measure(owners, NEED)
    assert got.units.tolist() == [2, 2]
    assert got.unit_l2.tolist() == [0.0, 0.0, 5.0, 1.0]
    assert gradcore.measure(owners, NEED, unit_axis=1).units.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("shape", "count"), [((), 1), ((7,), 1), ((0,), 1), ((0, 3), 0), ((3, 0), 3), ((4, 0, 2), 4)]
)
def test_how_many_units_a_tensor_has(shape, count):
    gradient = torch.full(shape, 2.0)

    got = gradcore.measure([parameter(gradient)], NEED)
    assert got.units.tolist() == [count]
    assert got.unit_l2.shape == (count,)
    assert got.unit_l2.sum().item() == pytest.approx(2.0 * math.sqrt(gradient.numel()))


def test_memory_that_is_listed_twice_counts_once():
    memory = torch.tensor([[3.0, 4.0], [0.0, 2.0]])

    got = gradcore.measure(parameters([memory, memory.t()]), NEED)
    assert got.unit_l2.tolist() == [5.0, 2.0, 0.0, 0.0]


def test_rows_of_an_embedding_that_were_not_looked_up_have_norm_zero():
    table = torch.nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 4, 1])).sum().backward()

    got = gradcore.measure(table.parameters(), NEED)
    assert got.unit_l2.tolist() == pytest.approx([0.0, math.sqrt(8), 0.0, 0.0, math.sqrt(2)])
    columns = gradcore.measure(table.parameters(), NEED, unit_axis=1)
    assert columns.unit_l2.tolist() == pytest.approx([math.sqrt(5)] * 2)


def test_sums_of_duplicates_of_a_sparse_gradient_are_what_counts():
    indices = torch.tensor([[0, 0, 2]])
    values = torch.tensor([[3.0, 1.0], [1.0, 2.0], [5.0, 12.0]])
    sparse = torch.sparse_coo_tensor(indices, values, (3, 2), check_invariants=True)

    got = gradcore.measure([parameter(sparse)], NEED)
    assert got.unit_l2.tolist() == [5.0, 0.0, 13.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_units_of_the_parameters_themselves(dtype):
    owner = torch.nn.Parameter(units.shaped(VALUES, (4, 3), dtype))

    got = gradcore.measure([owner], ("parameter_unit_l2",), unit_axis=1)
    assert_norms(got.parameter_unit_l2, units.norms(owner.detach(), 1), dtype)
    assert got.units.tolist() == [3]
    with pytest.raises(AttributeError, match="add 'unit_l2'"):
        got.unit_l2  # noqa: B018


def test_units_that_nobody_asked_for_are_not_there():
    with pytest.raises(AttributeError, match="units was not measured: add 'unit_l2'"):
        gradcore.measure([parameter(torch.ones(2, 2))]).units  # noqa: B018


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_is_none_is_an_error_that_says_which_tensor_has_it_not(axis):
    owners = parameters([torch.ones(3, 2, 2), torch.ones(7), torch.ones(5, 2)])

    with pytest.raises(ValueError, match=rf"unit_axis.*got {axis}.*number 2.*\[5, 2\]"):
        gradcore.measure(owners, NEED, unit_axis=axis)


def test_a_narrow_unit_of_any_length_is_exact():
    """Sums of squares of 16-bit numbers are short ones only where they are long enough for it."""
    for width in (1, 31, 32, 33, 1023, 1024, 5000):
        gradient = make([1.5] * (3 * width), torch.bfloat16).reshape(3, width)

        got = gradcore.measure([parameter(gradient)], NEED)
        assert got.unit_l2.tolist() == pytest.approx([1.5 * math.sqrt(width)] * 3, rel=1e-6)
