"""The operators keep their schema's promises, trace, and agree with their plain ATen twins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.library import opcheck

import gradcore
import gradients
import oracle
import tables
from gradients import DTYPES, NARROW, make, name_of, parameters

DENSE = ("flat", "scalar", "empty", "transposed", "channels_last", "offset")
VALUES = [0.25, 7.0, -1e5]

operators = torch.ops.gradcore
lists = st.lists(gradients.gradients(layouts=DENSE), max_size=4)


def scalar(number: float) -> torch.Tensor:
    return torch.tensor(number, dtype=torch.float64)


@pytest.mark.parametrize("name", ["measure", "measure_composite"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64], ids=name_of)
def test_measuring_passes_opcheck(name, dtype):
    tensors = [make([1.0, math.nan, 3.0], dtype), make([], dtype)]
    for replacement in (None, VALUES):
        opcheck(getattr(operators, name).default, (tensors, 31, 3.0, math.inf, replacement))


@pytest.mark.parametrize("name", ["apply_", "apply_composite_"])
@pytest.mark.parametrize("skip", [None, torch.tensor(False)], ids=["", "skip"])
def test_applying_passes_opcheck(name, skip):
    tensors = [make([1.0, math.nan, 3.0], torch.float32), make([2.0], torch.float64)]
    table = operators.measure(tensors, 0, 2.0, math.inf, None)

    arguments = (tensors, table, scalar(0.5), skip, 1, None, math.inf, 2.0)
    opcheck(getattr(operators, name).default, arguments)


@pytest.mark.parametrize("name", ["measure", "measure_composite"])
@given(lists, st.sampled_from([0, 1, 2, 4, 8, 16, tables.ALL]), st.sampled_from([0.5, 2.0, 3.0]))
def test_both_ways_of_measuring_agree_with_the_oracle(name, tensors, needs, order):
    table = getattr(operators, name)(tensors, needs, order, math.inf, None)

    tables.check(table, tensors, needs=needs, norm_type=order)


@pytest.mark.parametrize("name", ["measure", "measure_composite"])
@given(lists, st.sampled_from([0.1, 4.0, math.inf]))
def test_replacements_count_as_what_they_will_be(name, tensors, overflow):
    """0.1 is not what a float16 will hold, nor is 1e5."""
    values = (0.1, 3.0, -1e5)
    needs = tables.ALL & ~tables.BITS["zeros"]
    table = getattr(operators, name)(tensors, needs, 2.0, overflow, list(values))

    tables.check(table, tensors, needs=needs, overflow=overflow, replacement=values)


@pytest.mark.parametrize("factor", [1.0, 0.1, 1e-60, 0.0, math.nan])
@pytest.mark.parametrize("repair", range(4))
@settings(max_examples=20)
@given(lists, st.sampled_from([math.inf, 0.7]), st.booleans())
def test_both_ways_of_applying_agree(factor, repair, tensors, limit, skip):
    """To the bit, but for the last place of clamped complex and of 16-bit numbers."""
    values = VALUES if repair == 2 else None
    twins = [tensor.clone() for tensor in tensors]
    table = operators.measure(tensors, 0, 2.0, math.inf, values)

    rest = (table, scalar(factor), torch.tensor(skip), repair, values, math.inf, limit)
    operators.apply_(tensors, *rest)
    operators.apply_composite_(twins, *rest)
    for tensor, twin in zip(tensors, twins, strict=True):
        loose = tensor.dtype in NARROW or (tensor.dtype.is_complex and limit < math.inf)
        pairs = gradients.differences(
            twin, gradients.elements(tensor), ulps=2 if loose else 0, signed_zeros=limit == math.inf
        )
        assert [pair for pair in pairs if not all(map(oracle.is_nan, pair))] == []


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_the_plain_way_neither_overflows_nor_underflows(size):
    gradient = make([3 * size, 4 * size], torch.float64)

    table = operators.measure_composite([gradient], 16, 4.0, math.inf, None)
    assert table[5, -1].item() == pytest.approx(5 * size, rel=1e-12, abs=0)
    assert table[11, -1].item() == pytest.approx(337**0.25 * size, rel=1e-12, abs=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_fake_tensors_have_the_shape_of_real_ones(dtype):
    tensors = [torch.empty(3, 2, dtype=dtype, device="meta"), torch.empty(0, device="meta")]

    table = operators.measure(tensors, 0, 2.0, math.inf, None)
    assert (table.shape, table.dtype, table.device.type) == ((12, 3), torch.float64, "meta")


def clip(tensors: list[torch.Tensor]) -> torch.Tensor:
    table = operators.measure(tensors, 0, 2.0, math.inf, None)
    norm = table[5, -1]
    factor = (1.0 / norm).clamp(max=1.0)
    operators.apply_(tensors, table, factor, None, 0, None, math.inf, math.inf)
    return norm


def test_operators_compile_without_a_break_in_the_graph():
    compiled = torch.compile(clip, fullgraph=True, backend="aot_eager")

    for size in (1.0, 2.0, 3.0):
        tensors = [torch.tensor([3.0, 0.0]) * size, torch.tensor([[4.0]]) * size]
        assert compiled(tensors).item() == 5.0 * size
        assert tensors[0].tolist() == pytest.approx([0.6, 0.0])
        assert tensors[1].tolist() == [pytest.approx([0.8])]


def test_the_drop_in_function_compiles_without_a_break_in_the_graph():
    owners = parameters([torch.tensor([3.0, 0.0]), torch.tensor([4.0])])

    @torch.compile(fullgraph=True, backend="aot_eager")
    def step() -> torch.Tensor:
        return gradcore.clip_grad_norm_(owners, 1.0)

    assert step().item() == 5.0
    assert owners[0].grad.tolist() == pytest.approx([0.6, 0.0], rel=1e-6)
    assert step().item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("name", ["measure", "measure_composite"])
def test_replacements_must_be_three(name):
    with pytest.raises(ValueError, match="three"):
        getattr(operators, name)([torch.ones(1)], 0, 2.0, math.inf, [0.0])
