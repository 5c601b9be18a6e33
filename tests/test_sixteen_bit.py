"""Every one of the 65,536 numbers of float16 and bfloat16 is counted, kept, repaired and scaled."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import gradcore
import gradients
import oracle
from gradients import name_of, parameter

NARROW = (torch.float16, torch.bfloat16)
NAN_PATTERNS = {torch.float16: 2046, torch.bfloat16: 254}


def every_number(dtype: torch.dtype) -> torch.Tensor:
    """All bit patterns in order: positive numbers, +Inf, NaN, negative numbers, -Inf, NaN."""
    patterns = np.arange(2**16, dtype=np.uint16).view(np.int16)
    return torch.from_numpy(patterns.copy()).view(dtype)


def rounded(values: np.ndarray, form: oracle.Format) -> np.ndarray:
    """Float64 numbers rounded to a format: what the oracle does, for many at once.

    Every step is exact but `rint`, which sends ties to the even neighbour.
    """
    exponents = np.maximum(np.frexp(values)[1] - 1, form.min_exponent)
    quanta = np.ldexp(1.0, exponents - form.precision + 1)
    return np.rint(values / quanta) * quanta


def test_rounding_many_at_once_is_rounding_one_by_one():
    sizes = 10.0 ** np.arange(-42, 4).repeat(10)
    values = np.random.default_rng(0).normal(size=sizes.size) * sizes

    for form in (oracle.FLOAT16, oracle.BFLOAT16):
        one_by_one = [form.round(Fraction(value)) for value in values]
        assert rounded(values, form).tolist() == one_by_one


@pytest.mark.parametrize("dtype", NARROW, ids=name_of)
def test_all_patterns_are_counted(dtype):
    statistics = gradcore.measure([parameter(every_number(dtype))], "all")

    assert statistics.numel.item() == 2**16
    assert statistics.nan.item() == NAN_PATTERNS[dtype]
    assert statistics.posinf.item() == 1
    assert statistics.neginf.item() == 1
    assert statistics.zeros.item() == 2


@pytest.mark.parametrize("dtype", NARROW, ids=name_of)
def test_norms_of_all_finite_numbers_are_exact(dtype):
    gradient = every_number(dtype)

    statistics = gradcore.measure([parameter(gradient)], ("l1", "max_abs", "sum"))
    facts = oracle.facts(gradients.elements(gradient))
    assert statistics.norm.item() == pytest.approx(facts.l2, rel=1e-6)
    assert statistics.l1.item() == pytest.approx(facts.l1, rel=1e-6)
    assert statistics.max_abs.item() == facts.max_abs
    assert statistics.sum.item() == pytest.approx(0.0, abs=1e-6 * facts.l1)


@pytest.mark.parametrize("dtype", NARROW, ids=name_of)
@pytest.mark.parametrize("values", [None, (0.5, 3.0, -7.0)], ids=["zero", "values"])
def test_repair_changes_the_nonfinite_alone(dtype, values):
    """Bit for bit what `torch.nan_to_num` makes of it: -0.0 and subnormals stay."""
    owner = parameter(every_number(dtype))
    nan, posinf, neginf = values or (0.0, 0.0, 0.0)
    wanted = torch.nan_to_num(every_number(dtype), nan=nan, posinf=posinf, neginf=neginf)

    options = {} if values is None else {"nan": nan, "posinf": posinf, "neginf": neginf}
    counts = gradcore.repair_([owner], **options)
    assert gradients.bits(owner.grad) == gradients.bits(wanted)
    assert counts.total == NAN_PATTERNS[dtype] + 2


@pytest.mark.parametrize("values", [None, (0.5, 3.0, -7.0)], ids=["zero", "values"])
def test_complex_elements_of_every_real_part_are_repaired(values):
    pairs = torch.stack([every_number(torch.float16), torch.full((2**16,), 2.0).half()], dim=1)
    owner = parameter(torch.view_as_complex(pairs))
    before = gradients.elements(owner.grad)

    options = dict(zip(("nan", "posinf", "neginf"), values, strict=True)) if values else {}
    counts = gradcore.repair_([owner], **options)
    wanted = [
        oracle.replaced(element, values, oracle.FLOAT16) if values else oracle.zeroed(element)
        for element in before
    ]
    assert gradients.differences(owner.grad, wanted) == []
    assert (counts.nan, counts.posinf, counts.neginf) == (2046, 1, 1)


@pytest.mark.parametrize("dtype", NARROW, ids=name_of)
@pytest.mark.parametrize("value", [1e5, 3.4e38, 1e300])
def test_values_too_large_for_the_dtype_become_its_largest_number(dtype, value):
    owner = parameter(torch.tensor([math.inf, -math.inf, 1.0], dtype=dtype))

    gradcore.repair_([owner], nan=0.0, posinf=value, neginf=-value)
    end = gradients.FORMATS[dtype].saturate(value)
    assert gradients.elements(owner.grad) == [end, -end, 1.0]


@pytest.mark.parametrize("name", ["nan", "posinf", "neginf"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        gradcore.repair_([parameter(torch.ones(1).half())], **{name: value})


@pytest.mark.parametrize("dtype", NARROW, ids=name_of)
@pytest.mark.parametrize("factor", [0.5, 0.1, 1 / 3, 0.99, 1e-6, 1e-41, 1e-60])
def test_every_number_is_scaled_to_its_nearest_neighbour(dtype, factor):
    """The product may be rounded to float64 or, for a normal factor, to float32 on the way."""
    form = gradients.FORMATS[dtype]
    gradient = every_number(dtype)
    values = np.array(gradients.elements(gradient))
    gradient, values = gradient[np.isfinite(values)], values[np.isfinite(values)]

    table = torch.ops.gradcore.measure([gradient], 0, 2.0, math.inf, None)
    factors = torch.tensor(factor, dtype=torch.float64)
    torch.ops.gradcore.apply_([gradient], table, factors, None, 0, None, math.inf, math.inf)

    got = np.array(gradients.elements(gradient))
    through_float64 = rounded(values * factor, form)
    through_float32 = through_float64
    if factor > 1.2e-38:
        single = values.astype(np.float32) * np.float32(factor)
        through_float32 = rounded(single.astype(np.float64), form)
    assert ((got == through_float64) | (got == through_float32)).all()
    assert (np.signbit(got) == np.signbit(values)).all()


@pytest.mark.parametrize("dtype", NARROW, ids=name_of)
def test_a_bound_that_is_met_changes_no_pattern(dtype):
    """NaN payloads too: nothing is written where there is nothing to do."""
    owner = parameter(every_number(dtype))
    before = gradients.bits(owner.grad)

    gradcore.clip_grad_norm_([owner], math.inf)
    assert gradients.bits(owner.grad) == before
