"""`measure` counts exactly and computes norms that nothing can overflow, whatever it is given."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradcore
import gradients
import tables
from gradients import DTYPES, make, name_of, parameter, parameters

EVERYTHING = ("l1", "max_abs", "sum", "zeros", "lp")
BFLOAT16_MAX = 3.3895313892515355e38


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@given(data=st.data())
def test_every_statistic_is_that_of_exact_arithmetic(dtype, data):
    values = data.draw(st.lists(gradients.numbers(dtype), max_size=20))
    gradient = make(values, dtype)

    statistics = gradcore.measure(parameters([gradient]), EVERYTHING)
    tables.check(statistics.table, [gradient])


@given(st.lists(gradients.gradients(), max_size=5))
def test_lists_of_mixed_dtypes_and_layouts_are_one_vector(tensors):
    statistics = gradcore.measure(parameters(tensors), EVERYTHING)

    tables.check(statistics.table, tensors)


@given(
    st.lists(gradients.gradients(), max_size=3),
    st.sampled_from([0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]),
)
def test_norms_of_any_order_are_right(tensors, order):
    statistics = gradcore.measure(parameters(tensors), ("lp",), norm_type=order)

    tables.check(statistics.table, tensors, needs=tables.BITS["lp"], norm_type=order)


@given(st.lists(gradients.gradients(), max_size=3), st.sampled_from([1e-3, 1.0, 4.0, 70000.0]))
def test_magnitudes_beyond_overflow_count_as_infinite(tensors, overflow):
    statistics = gradcore.measure(parameters(tensors), EVERYTHING, overflow=overflow)

    tables.check(statistics.table, tensors, overflow=overflow)


@pytest.mark.parametrize(
    ("values", "dtype", "norm"),
    [
        ([3.0, 4.0], torch.float32, 5.0),
        ([2.0**66] * 4, torch.float32, 2.0**67),
        ([3e300, 4e300], torch.float64, 5e300),
        ([3e-300, 4e-300], torch.float64, 5e-300),
        ([5e-324], torch.float64, 5e-324),
        ([1.7e308, 1.7e308], torch.float64, math.inf),
        ([2.0**-24] * 4, torch.float16, 2.0**-23),
        ([60000.0] * 1000, torch.float16, 60000.0 * math.sqrt(1000)),
        ([1.0] * 7000, torch.bfloat16, math.sqrt(7000)),
        ([BFLOAT16_MAX] * 4, torch.bfloat16, 2 * BFLOAT16_MAX),
        ([2.0**-133] * 4, torch.bfloat16, 2.0**-132),
        ([3e200 + 4e200j], torch.complex128, 5e200),
        ([60000 + 60000j] * 8, torch.complex32, 240000.0),
    ],
)
def test_norms_at_the_ends_of_the_range(values, dtype, norm):
    statistics = gradcore.measure(parameters([make(values, dtype)]), ("lp",), norm_type=2.0)

    expected = pytest.approx(norm, rel=gradients.tolerance(dtype), abs=0)
    assert statistics.norm.item() == expected
    assert statistics.l2.tolist() == [expected]
    assert statistics.total("lp").item() == expected


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_powers_of_extreme_numbers_stay_in_range(size):
    """The fourth power of 1e200 is no float64, the norm of order 4 is."""
    gradient = make([size] * 16, torch.float64)

    statistics = gradcore.measure(parameters([gradient]), ("lp",), norm_type=4.0)
    assert statistics.lp.item() == pytest.approx(2 * size, rel=1e-12, abs=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("offset", range(9))
def test_every_size_and_alignment_is_read_to_the_last_element(dtype, offset):
    buffers = [make([math.nan] * offset + [2.0] * size, dtype) for size in range(18)]
    tensors = [buffer[offset:] for buffer in buffers]

    statistics = gradcore.measure(parameters(tensors), EVERYTHING)
    assert statistics.numel.tolist() == list(range(18))
    assert statistics.nan.tolist() == [0] * 18
    assert statistics.l1.tolist() == [2.0 * size for size in range(18)]
    assert statistics.norm.item() == pytest.approx(math.sqrt(4 * 153), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 63, 64, 4095, 16384, 32767, 32768, 70001, -2, -1])
def test_a_fault_is_found_wherever_it_stands(dtype, fault, place):
    """In a head that is not aligned, in the middle of a block, at its edge, in the tail."""
    gradient = torch.ones(70004, dtype=gradients.PART.get(dtype, dtype)).to(dtype)[1:]
    gradient[place] = fault

    statistics = gradcore.measure(parameters([gradient]))
    counts = (statistics.nan.item(), statistics.posinf.item(), statistics.neginf.item())
    assert counts == (math.isnan(fault), fault == math.inf, fault == -math.inf)
    assert statistics.norm.item() == pytest.approx(math.sqrt(70002), rel=1e-12)


@pytest.mark.parametrize("count", [1023, 1024, 1025, 16383, 32768, 32769, 65537, 131073])
def test_edges_of_blocks_lose_nothing(count):
    gradient = torch.randn(count, dtype=torch.float32)
    exact = [float(number) for number in gradient.tolist()]

    statistics = gradcore.measure(parameters([gradient]), EVERYTHING)
    # A square of a float32 is a float64 exactly, and fsum rounds once.
    norm, total = math.sqrt(math.fsum(x * x for x in exact)), math.fsum(map(abs, exact))
    assert statistics.norm.item() == pytest.approx(norm, rel=1e-12)
    assert statistics.l1.item() == pytest.approx(total, rel=1e-12)
    assert statistics.sum.item() == pytest.approx(math.fsum(exact), rel=0, abs=1e-12 * total)
    assert statistics.max_abs.item() == max(map(abs, exact))


def test_one_large_element_among_tiny_ones_hides_none_of_them():
    """Blocks are scaled one by one: what one of them holds must not cost another its digits."""
    gradient = torch.full((100_000,), 1e-160, dtype=torch.float64)
    gradient[77_777] = 1e-158

    statistics = gradcore.measure(parameters([gradient]))
    exact = math.hypot(1e-158, 1e-160 * math.sqrt(99_999))
    assert statistics.norm.item() == pytest.approx(exact, rel=1e-12, abs=0)


def test_twenty_thousand_tensors_are_a_row_each():
    tensors = [torch.full((index % 3,), 2.0) for index in range(20_000)]
    tensors[12_345] = torch.tensor([math.nan, 1.0])

    statistics = gradcore.measure(parameters(tensors), ("max_abs",))
    assert statistics.numel[:4].tolist() == [0, 1, 2, 0]
    assert statistics.nan.nonzero().tolist() == [[12_345]]
    assert statistics.total("max_abs").item() == 2.0
    assert statistics.total("numel").item() == sum(map(torch.numel, tensors))


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_measuring_writes_nothing(dtype):
    gradient = make([1.0, -0.0, math.nan, math.inf, 3.0], dtype)
    before = gradients.memory(gradient)

    gradcore.measure([parameter(gradient)], EVERYTHING)
    assert gradients.memory(gradient) == before


def test_no_gradients_have_a_norm_of_zero():
    statistics = gradcore.measure([], EVERYTHING)

    assert statistics.norm.item() == 0.0
    assert statistics.l2.shape == (0,)


def test_one_parameter_can_be_given_by_itself():
    assert gradcore.measure(parameter(torch.tensor([[3.0], [4.0]]))).l2.tolist() == [5.0]


def test_the_same_memory_in_another_shape_counts_once():
    memory = torch.full((4,), 3.0)
    owners = parameters([memory, memory.view(2, 2)])

    assert gradcore.measure(owners).norm.item() == 6.0


def test_missing_gradients_have_a_row_of_zeros():
    missing = torch.nn.Parameter(torch.ones(3))

    statistics = gradcore.measure([missing, parameter(torch.tensor([3.0, 4.0]))], EVERYTHING)
    assert statistics.present.tolist() == [False, True]
    assert statistics.numel.tolist() == [0, 2]
    assert statistics.l1.tolist() == [0, 7]
    assert statistics.norm.item() == 5.0
