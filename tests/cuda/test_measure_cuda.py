"""On the device `measure` says what exact arithmetic says, for every dtype, size and alignment."""

from __future__ import annotations

import math

import device
import pytest
import torch

import gradients
import tables
from gradients import DTYPES, REAL, name_of


def test_the_operators_have_kernels_for_cuda():
    """Without them tests would pass on slow code that stands in."""
    for name in ("measure", "apply_"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"gradcore::{name}", "CUDA")  # noqa: SLF001


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_small_gradients_agree_with_exact_arithmetic_wherever_they_begin(dtype):
    cpu = [device.random_gradient(dtype, n, faults=n % 2 == 1) for n in range(18) for _ in range(9)]
    gpu = [device.on_device(tensor, i % 9) for i, tensor in enumerate(cpu)]

    tables.check(device.measure(gpu).cpu(), cpu, needs=0)
    tables.check(device.measure(gpu, 15).cpu(), cpu, needs=15)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("faults", [False, True])
def test_large_gradients_agree_with_the_cpu(dtype, faults):
    sizes = [1_000_003, 2048, 4095, 300_001, 1, 0, 12_345]
    cpu = [device.random_gradient(dtype, n, faults=faults) for n in sizes]
    gpu = [device.on_device(tensor, i) for i, tensor in enumerate(cpu)]

    error = gradients.tolerance(dtype)
    for needs in (0, 15):
        device.close(device.measure(gpu, needs), device.measure(cpu, needs), error)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
def test_a_fault_is_counted_wherever_it_lies(dtype, fault):
    row = device.NAN if math.isnan(fault) else device.POSINF if fault > 0 else device.NEGINF
    cpu = []
    for place in (*range(20), -1, -2, -9):
        tensor = gradients.make([1.0] * 5000, dtype)
        tensor[place] = fault
        cpu.append(tensor)
    gpu = [device.on_device(tensor, i % 9) for i, tensor in enumerate(cpu)]

    table = device.measure(gpu).cpu()
    assert table[row, :-1].tolist() == [1.0] * len(cpu)
    assert table[2:5].sum() == 2 * len(cpu)
    expected = torch.full((len(cpu),), math.sqrt(4999.0), dtype=torch.float64)
    torch.testing.assert_close(table[5, :-1], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=name_of)
def test_every_pattern_of_a_sixteen_bit_type_is_classified(dtype):
    cpu = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(dtype)
    each = [tensor.contiguous() for tensor in cpu.chunk(256)]

    device.close(device.measure([cpu.cuda()], 15), device.measure([cpu], 15), 1e-6)
    gpu = [tensor.cuda() for tensor in each]
    device.close(device.measure(gpu, 15), device.measure(each, 15), 1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_huge_and_tiny_values_neither_overflow_nor_vanish(dtype):
    info = torch.finfo(gradients.PART.get(dtype, dtype))
    for size in (info.max, info.smallest_normal, info.tiny * info.eps, 2.0**62, 2.0**-62):
        cpu = [gradients.make([size, -size / 2] * 1501, dtype)]
        for needs in (0, 15):
            table = device.measure([cpu[0].cuda()], needs)
            device.close(table, device.measure(cpu, needs), gradients.tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_replacements_stand_in_for_what_is_not_finite(dtype):
    cpu = [device.random_gradient(dtype, 3001, faults=True)]
    gpu = [tensor.cuda() for tensor in cpu]
    for values in ([0.0, 0.0, 0.0], [0.25, 1e300, -7.0]):
        got = device.measure(gpu, 15, replacement=values)
        want = device.measure(cpu, 15, replacement=values)
        device.close(got, want, gradients.tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("overflow", [1.0, 1.001, 0.1])
def test_magnitudes_beyond_overflow_count_as_infinite(dtype, overflow):
    cpu = [device.random_gradient(dtype, 3001, faults=True)]
    gpu = [tensor.cuda() for tensor in cpu]

    got = device.measure(gpu, 15, overflow=overflow)
    device.close(got, device.measure(cpu, 15, overflow=overflow), gradients.tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("order", [0.5, 1.0, 3.0, math.inf])
def test_norms_of_any_order_are_those_of_the_cpu(dtype, order):
    cpu = [device.random_gradient(dtype, 999, faults=True), device.random_gradient(dtype, 5)]
    gpu = [tensor.cuda() for tensor in cpu]

    got = device.measure(gpu, 31, norm_type=order)
    want = device.measure(cpu, 31, norm_type=order)
    device.close(got, want, gradients.tolerance(dtype))


def test_thousands_of_tensors_of_several_dtypes_share_one_table():
    torch.manual_seed(3)
    dtypes = (torch.bfloat16, torch.float32, torch.complex64)
    sizes = torch.randint(0, 400, (3500,)).tolist()
    cpu = [device.random_gradient(dtypes[i % 3], n, faults=i % 7 == 0) for i, n in enumerate(sizes)]
    gpu = [tensor.cuda() for tensor in cpu]

    device.close(device.measure(gpu), device.measure(cpu), 1e-6)
    device.close(device.measure(gpu, 15), device.measure(cpu, 15), 1e-6)


def test_layouts_are_read_as_they_lie_or_copied():
    flat = torch.randn(24, dtype=torch.float32)
    cpu = [
        flat.reshape(4, 6).t(),
        flat.reshape(4, 6)[:, ::2],
        flat[:1].expand(10),
        flat[:6, None].expand(6, 7),
        flat[3],
        flat[:0],
        torch.complex(flat, flat).conj(),
    ]
    gpu = [flat_like(tensor) for tensor in cpu]

    device.close(device.measure(gpu, 15), device.measure(cpu, 15), 1e-12)


def flat_like(tensor: torch.Tensor) -> torch.Tensor:
    """The same view of a copy of its storage on the device."""
    base = tensor._base if tensor._base is not None else tensor  # noqa: SLF001
    if tensor.is_conj():
        return tensor.conj().cuda().conj()
    copy = base.reshape(-1).cuda()
    return copy.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def test_memory_that_is_listed_twice_counts_once():
    tensor = torch.randn(1000).cuda()

    assert device.measure([tensor, tensor])[1].tolist() == [1000.0, 0.0, 1000.0]


def test_more_than_two_to_the_thirty_one_elements_are_all_seen():
    numel = 2**31 + 9
    try:
        tensor = torch.full((numel,), 0.5, dtype=torch.bfloat16, device="cuda")
    except torch.cuda.OutOfMemoryError:
        pytest.skip("the device has less than 4.3 GB left")
    tensor[-1], tensor[2**31], tensor[5] = math.nan, math.inf, -math.inf

    table = device.measure([tensor]).cpu()
    assert table[1:5, 0].tolist() == [numel, 1, 1, 1]
    assert table[5, 0].item() == pytest.approx(0.5 * math.sqrt(numel - 3), rel=1e-6)

    device.apply_([tensor], table.cuda(), 0.5, repair=device.ZERO_ELEMENTS)
    places = (0, 5, 2**31 - 1, 2**31, -2, -1)
    assert [tensor[i].item() for i in places] == [0.25, 0, 0.25, 0, 0.25, 0]


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
def test_two_runs_give_the_same_bits(dtype):
    gpu = [device.random_gradient(dtype, n, faults=True).cuda() for n in (1_000_003, 77, 500_000)]
    for needs in (0, 15, 31):
        first = device.measure(gpu, needs, 3.0)
        for _ in range(5):
            assert device.same_bits(device.measure(gpu, needs, 3.0), first)


def test_tensors_of_the_cpu_among_them_are_an_error():
    with pytest.raises((ValueError, RuntimeError), match="one device"):
        device.measure([torch.ones(3, device="cuda"), torch.ones(3)])
