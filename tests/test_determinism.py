"""The same gradients give the same bits, however many threads and callers there are."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import gradcore
import gradients
from gradients import DTYPES, name_of, parameter, parameters

THREADS = (1, 2, 3, 7)


def sample(dtype, *, faults=False):
    """Tensors of very different sizes and magnitudes, so that the order of additions shows."""
    part = gradients.PART.get(dtype, dtype)
    generator = torch.Generator().manual_seed(5)
    tensors = []
    for place, count in enumerate([300_007, 1, 0, 65_536, 17, 32_769, 131_072]):
        shape = (count, 2) if dtype.is_complex else (count,)
        tensor = torch.randn(shape, generator=generator) * 10.0 ** (place - 3)
        if faults and count > 1000:
            tensor.view(-1)[:: count // 7] = math.nan
            tensor.view(-1)[1 :: count // 5] = math.inf
        tensor = tensor.to(part)
        tensors.append(torch.view_as_complex(tensor) if dtype.is_complex else tensor)
    return tensors


@pytest.mark.parametrize("faults", [False, True], ids=["clean", "faulty"])
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_statistics_are_the_same_bits_for_any_number_of_threads(dtype, faults, threads):
    owners = parameters(sample(dtype, faults=faults))

    tables = []
    for count in THREADS:
        threads(count)
        statistics = gradcore.measure(owners, "all", norm_type=3.0)
        tables.append(gradients.bits(statistics.table))
    assert len(set(tables)) == 1


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_clipped_gradients_are_the_same_bits_for_any_number_of_threads(dtype, threads):
    results = []
    for count in THREADS:
        threads(count)
        owners = parameters(sample(dtype, faults=True))
        gradcore.clip_grad_norm_(owners, 1.0, nonfinite="zero")
        results.append([gradients.bits(owner.grad) for owner in owners])
    assert results == [results[0]] * len(THREADS)


def test_statistics_are_the_same_bits_from_call_to_call():
    owners = parameters(sample(torch.float32))

    tables = {gradients.bits(gradcore.measure(owners, "all").table) for _ in range(5)}
    assert len(tables) == 1


def test_alignment_does_not_matter():
    """The same numbers at another address are the same numbers."""
    values = torch.randn(100_003)
    tables = set()
    for offset in range(5):
        buffer = torch.empty(values.numel() + offset)
        buffer[offset:] = values
        tables.add(gradients.bits(gradcore.measure([parameter(buffer[offset:])], "all").table))

    assert len(tables) == 1


def test_a_list_has_the_norm_of_its_concatenation():
    tensors = sample(torch.float32)

    apart = gradcore.measure(parameters(tensors), ("l1", "max_abs"))
    joined = gradcore.measure([parameter(torch.cat(tensors))], ("l1", "max_abs"))
    assert apart.norm.item() == pytest.approx(joined.norm.item(), rel=1e-12)
    assert apart.total("l1").item() == pytest.approx(joined.l1.item(), rel=1e-12)
    assert apart.total("max_abs").item() == joined.max_abs.item()


def test_order_does_not_matter_to_counts_and_maxima():
    tensors = sample(torch.float16, faults=True)

    forward = gradcore.measure(parameters(tensors), ("max_abs",))
    backward = gradcore.measure(parameters(tensors[::-1]), ("max_abs",))
    assert forward.nan.tolist() == backward.nan.tolist()[::-1]
    assert forward.max_abs.tolist() == backward.max_abs.tolist()[::-1]
    assert forward.norm.item() == pytest.approx(backward.norm.item(), rel=1e-12)


def test_callers_in_several_threads_do_not_mix():
    lists = [[torch.full((50_000,), float(size)), torch.ones(3)] for size in range(1, 5)]

    def clip(tensors):
        owners = parameters(tensor.clone() for tensor in tensors)
        norm = gradcore.clip_grad_norm_(owners, 1.0).item()
        return norm, [gradients.bits(owner.grad) for owner in owners]

    alone = [clip(tensors) for tensors in lists]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(clip, lists * 8))
    assert together == alone * 8
