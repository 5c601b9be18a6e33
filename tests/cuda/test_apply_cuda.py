"""On the device `apply_` gives the CPU's bits, and touches nothing that needs nothing."""

from __future__ import annotations

import math
from fractions import Fraction

import device
import pytest
import torch

import gradients
from gradients import COMPLEX, DTYPES, REAL, name_of

FACTORS = (0.1, 1 / 3, 0.999999, 1e-6, 1e-30, 1e30, 3.0, -1.0, 1 + 2**-8 + 2**-40)
"""The last puts products of 16-bit numbers just beyond ties, by less than a float32 could tell."""


def rewritten(cpu: list[torch.Tensor], factors: object = 1.0, **options: object) -> None:
    """Assert that device and CPU make the same of copies of ``cpu``."""
    gpu = [device.on_device(tensor, i % 9) for i, tensor in enumerate(cpu)]
    mine = [tensor.clone() for tensor in cpu]
    overflow = options.get("overflow", math.inf)
    device.apply_(gpu, device.measure(gpu, overflow=overflow), factors, **options)
    device.apply_(mine, device.measure(mine, overflow=overflow), factors, **options)
    for got, want in zip(gpu, mine, strict=True):
        assert device.same_numbers(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("factor", FACTORS)
def test_one_factor_for_all_gives_the_bits_of_the_cpu(dtype, factor):
    sizes = (*range(18), 1000, 4097)
    rewritten([device.random_gradient(dtype, n, faults=n > 16) for n in sizes], factor)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_factors_of_their_own_give_the_bits_of_the_cpu(dtype):
    cpu = [device.random_gradient(dtype, 300 * n) for n in range(1, 10)]
    rewritten(cpu, [1.0, 0.5, 1.0, *FACTORS[:6]])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=name_of)
@pytest.mark.parametrize("factor", [*FACTORS, 1 + 2**-11 + 2**-40, 7.3e4, 1e-39])
def test_every_pattern_of_a_sixteen_bit_type_is_scaled(dtype, factor):
    cpu = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(dtype)
    rewritten([cpu], factor)

    # Among repaired elements products are rounded once.
    gpu = cpu.cuda()
    device.apply_([gpu], device.measure([gpu]), factor, repair=device.ZERO_ELEMENTS)
    form = gradients.FORMATS[dtype]
    chosen = torch.arange(0, 65536, 97)
    before = gradients.elements(cpu[chosen])
    products = [n * factor if math.isfinite(n) else 0.0 for n in before]
    wanted = [form.round(Fraction(product)) for product in products]
    assert not gradients.differences(gpu.cpu()[chosen], wanted, signed_zeros=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("repair", [device.ZERO_ELEMENTS, device.REPLACE, device.ZERO_PARAMETERS])
@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_repairs_give_the_bits_of_the_cpu(dtype, repair, factor):
    cpu = [device.random_gradient(dtype, n, faults=n % 2 == 1) for n in (5, 6, 3001, 3000, 1)]
    values = [0.1, 1e300, -2.5] if repair == device.REPLACE else None
    rewritten(cpu, factor, repair=repair, replacement=values)
    rewritten(cpu, factor, repair=repair, replacement=values, overflow=1.25)


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
@pytest.mark.parametrize("limit", [0.5, 0.1, 1e-3])
def test_limits_give_the_bits_of_the_cpu(dtype, limit):
    cpu = [device.random_gradient(dtype, n, faults=n % 2 == 1) for n in (17, 4096, 3001)]
    rewritten(cpu, limit=limit)
    rewritten(cpu, 0.25, limit=limit, repair=device.ZERO_ELEMENTS)


@pytest.mark.parametrize("dtype", COMPLEX, ids=name_of)
def test_limits_keep_the_direction_of_complex_elements(dtype):
    cpu = device.random_gradient(dtype, 3001, faults=True)
    gpu = device.on_device(cpu, 3)
    device.apply_([gpu], device.measure([gpu]), limit=0.5)
    device.apply_([cpu], device.measure([cpu]), limit=0.5)

    # A few units in the last place: hypot is not the same everywhere.
    eps = torch.finfo(gradients.PART[dtype]).eps
    got, want = device.numbers(gpu), device.numbers(cpu)
    torch.testing.assert_close(got, want, rtol=4 * eps, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_a_factor_of_one_leaves_every_bit(dtype):
    cpu = [device.random_gradient(dtype, n, faults=True) for n in (1, 9, 3001)]
    gpu = [tensor.cuda() for tensor in cpu]
    device.apply_(gpu, device.measure(gpu))
    for got, want in zip(gpu, cpu, strict=True):
        assert device.same_bits(got, want)


def test_good_gradients_among_bad_ones_keep_every_bit():
    good, bad = torch.randn(5000), torch.randn(5000)
    bad[7] = math.nan
    gpu = [good.cuda(), bad.cuda()]
    device.apply_(gpu, device.measure(gpu), repair=device.ZERO_PARAMETERS)

    assert device.same_bits(gpu[0], good)
    assert gpu[1].count_nonzero() == 0


@pytest.mark.parametrize("where", ["cuda", "cpu"])
def test_skip_writes_nothing(where):
    cpu = torch.randn(5000)
    gpu = [cpu.cuda()]
    table = device.measure(gpu)
    device.apply_(gpu, table, 0.5, skip=torch.tensor(True, device=where))
    assert device.same_bits(gpu[0], cpu)

    device.apply_(gpu, table, 0.5, skip=torch.tensor(False, device=where))
    assert device.same_bits(gpu[0], cpu / 2)


def test_a_factor_on_the_host_travels_with_the_launch():
    cpu = torch.randn(5000)
    gpu = [cpu.cuda()]
    device.apply_(gpu, device.measure(gpu), torch.tensor(0.5, dtype=torch.float64))

    assert device.same_bits(gpu[0], cpu / 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_a_factor_of_nan_makes_everything_nan(dtype):
    gpu = [device.random_gradient(dtype, 100).cuda()]
    device.apply_(gpu, device.measure(gpu), math.nan)

    assert device.numbers(gpu[0]).isnan().all()


def test_thousands_of_tensors_of_several_dtypes_get_their_own_factors():
    torch.manual_seed(4)
    dtypes = (torch.float16, torch.float64, torch.complex32)
    sizes = torch.randint(0, 300, (3500,)).tolist()
    cpu = [device.random_gradient(dtypes[i % 3], n) for i, n in enumerate(sizes)]
    rewritten(cpu, [FACTORS[i % 9] for i in range(3500)])


def test_what_is_not_dense_is_written_where_it_lies():
    wide = torch.randn(40, 6)
    gpu = wide.cuda()
    views = [gpu[:, ::2], gpu[:, 1].expand(3, 40), gpu[:20, 3], gpu[20:, 3]]
    device.apply_(views, device.measure(views), 0.5)

    wanted = wide.clone()
    wanted[:, [0, 1, 2, 3, 4]] /= 2
    assert device.same_bits(gpu, wanted)


def test_every_gradient_that_may_have_changed_has_a_new_version():
    gpu = [torch.randn(10, device="cuda")]
    before = gpu[0]._version  # noqa: SLF001
    device.apply_(gpu, device.measure(gpu), 0.5)
    assert gpu[0]._version > before  # noqa: SLF001


def test_a_table_of_another_list_is_an_error():
    gpu = [torch.ones(3, device="cuda")]
    with pytest.raises((ValueError, RuntimeError), match="same list"):
        device.apply_(gpu, device.measure([*gpu, torch.ones(2, device="cuda")]), 0.5)
