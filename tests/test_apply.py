"""`apply_` repairs, scales and clamps as asked, and keeps its hands off everything else."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradcore  # noqa: F401 - registers the operators
import gradients
import oracle
from gradients import COMPLEX, DTYPES, NARROW, REAL, make, name_of

PROPAGATE, ZERO_ELEMENTS, REPLACE, ZERO_PARAMETERS = range(4)
VALUES = (0.25, 7.0, -1e5)
DENSE = ("flat", "scalar", "empty", "transposed", "channels_last", "offset")
FACTORS = (1.0, 0.5, 0.1, 1 / 3, 1e-7, 1e-42, 1e-60, 0.0, math.nan)

lists = st.lists(gradients.gradients(layouts=DENSE), max_size=4)


def apply(tensors, factors=1.0, *, skip=None, repair=PROPAGATE, overflow=math.inf, limit=math.inf):
    """Measure and apply through the registered operators."""
    values = list(VALUES) if repair == REPLACE else None
    table = torch.ops.gradcore.measure(tensors, 0, 2.0, overflow, values)
    if not isinstance(factors, torch.Tensor):
        factors = torch.tensor(factors, dtype=torch.float64)
    torch.ops.gradcore.apply_(tensors, table, factors, skip, repair, values, overflow, limit)


def repaired(values, form, repair, overflow=math.inf):
    """What the oracle makes of one gradient."""
    if repair == ZERO_ELEMENTS:
        return [oracle.zeroed(value, overflow) for value in values]
    if repair == REPLACE:
        return [oracle.replaced(value, VALUES, form, overflow) for value in values]
    if repair == ZERO_PARAMETERS and any(oracle.kind(v, overflow) != "finite" for v in values):
        return [value.__class__(0) for value in values]
    return values


def known_differences(tensor, wanted, *, ulps):
    """But for what stands beside a NaN part, and the sign of a zero beside an infinite one."""
    pairs = gradients.differences(tensor, wanted, ulps=ulps, signed_zeros=False)
    return [pair for pair in pairs if not all(map(oracle.is_nan, pair))]


@given(lists, st.sampled_from(range(4)), st.sampled_from([math.inf, 4.0]))
def test_repair_is_that_of_the_oracle(tensors, repair, overflow):
    wanted = [
        repaired(gradients.elements(t), gradients.FORMATS[t.dtype], repair, overflow)
        for t in tensors
    ]

    apply(tensors, repair=repair, overflow=overflow)
    assert [gradients.differences(t, w) for t, w in zip(tensors, wanted, strict=True) if w] == [
        [] for w in wanted if w
    ]


@pytest.mark.parametrize("factor", FACTORS)
@given(st.lists(gradients.gradients(layouts=DENSE), max_size=3))
def test_scaling_rounds_the_product_of_doubles_once(factor, tensors):
    """Exactly so for float32 and wider; narrower ones may go through float32."""
    wanted = [
        [oracle.scaled(x, factor, gradients.FORMATS[t.dtype]) for x in gradients.elements(t)]
        for t in tensors
    ]

    apply(tensors, factor)
    for tensor, elements in zip(tensors, wanted, strict=True):
        assert gradients.differences(tensor, elements, ulps=tensor.dtype in NARROW) == []


@given(lists, st.sampled_from([1e-3, 1.0, 2.5, 100.0]))
def test_clamping_bounds_magnitudes_and_keeps_phases(tensors, limit):
    wanted = [
        [oracle.clamped(x, limit, gradients.FORMATS[t.dtype]) for x in gradients.elements(t)]
        for t in tensors
    ]

    apply(tensors, limit=limit)
    for tensor, elements in zip(tensors, wanted, strict=True):
        assert known_differences(tensor, elements, ulps=2) == []


@given(lists, st.sampled_from(range(4)), st.sampled_from([1.0, 0.3]), st.sampled_from([4.0, 0.5]))
def test_repair_comes_before_scaling_and_scaling_before_clamping(tensors, repair, factor, limit):
    def in_order(value, form):
        return oracle.clamped(oracle.scaled(value, factor, form), limit, form)

    wanted = []
    for tensor in tensors:
        form = gradients.FORMATS[tensor.dtype]
        values = repaired(gradients.elements(tensor), form, repair)
        wanted.append([in_order(value, form) for value in values])

    apply(tensors, factor, repair=repair, limit=limit)
    for tensor, elements in zip(tensors, wanted, strict=True):
        assert known_differences(tensor, elements, ulps=3) == []


@given(lists, st.sampled_from(range(4)))
def test_a_skip_changes_no_bit(tensors, repair):
    before = [gradients.memory(tensor) for tensor in tensors]

    apply(tensors, 0.5, skip=torch.tensor(True), repair=repair, limit=0.1)
    assert [gradients.memory(tensor) for tensor in tensors] == before


def test_a_skip_that_is_false_skips_nothing():
    gradient = torch.tensor([2.0, math.nan])

    apply([gradient], 0.5, skip=torch.tensor(False), repair=ZERO_ELEMENTS)
    assert gradient.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("repair", range(4))
def test_what_needs_nothing_keeps_every_bit(dtype, repair):
    """Negative zeros and subnormals are the first to go where everything is multiplied by 1."""
    part = gradients.PART.get(dtype, dtype)
    values = [0.0, -0.0, 1.0, *gradients.EXTREMES[part], *(-x for x in gradients.EXTREMES[part])]
    good = make([complex(x, y) for x, y in pairwise(values)], dtype)
    bad = make([math.nan, math.inf, 1.0], dtype)
    before = gradients.bits(good)

    apply([good, bad, good.clone()], repair=repair)
    assert gradients.bits(good) == before


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_elements_beside_a_repaired_one_keep_every_bit(dtype):
    clean = make([-0.0, 1.5, *gradients.EXTREMES[gradients.PART.get(dtype, dtype)]] * 50, dtype)
    mixed = torch.cat([clean, make([math.nan], dtype), clean])

    apply([mixed], repair=ZERO_ELEMENTS)
    assert gradients.bits(mixed) == gradients.bits(torch.cat([clean, make([0.0], dtype), clean]))


def test_each_gradient_has_its_own_factor():
    tensors = [torch.tensor([8.0]), torch.tensor([-0.0, 3.0]), torch.tensor([8 + 4j])]

    apply(tensors, torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64))
    assert [tensor.tolist() for tensor in tensors] == [[4.0], [-0.0, 3.0], [2 + 1j]]


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
def test_infinities_end_at_the_limit(dtype):
    gradient = make([math.inf, -math.inf, math.nan, 0.25], dtype)

    apply([gradient], limit=2.0)
    assert gradients.differences(gradient, [2.0, -2.0, math.nan, 0.25]) == []


@pytest.mark.parametrize("dtype", COMPLEX, ids=name_of)
def test_infinite_parts_give_the_direction(dtype):
    diagonal = complex(math.inf, -math.inf)
    gradient = make([complex(math.inf, 3), complex(-1, math.inf), diagonal, 3 + 4j], dtype)

    apply([gradient], limit=1.0)
    half = math.sqrt(0.5)
    wanted = [1 + 0j, complex(-0.0, 1), complex(half, -half), 0.6 + 0.8j]
    for got, want in zip(gradients.elements(gradient), wanted, strict=True):
        assert got == pytest.approx(want, rel=2e-3 if dtype is torch.complex32 else 2e-7)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("count", [1, 7, 4097, 32769, 70001])
def test_blocks_and_tails_are_all_scaled(dtype, count):
    gradient = torch.full((count + 1,), 8.0, dtype=torch.float32).to(dtype)[1:]

    apply([gradient], 0.25)
    assert set(gradients.elements(gradient)) == {2.0}
