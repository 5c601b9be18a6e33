"""What the emulator computes on a host, the device computes bit for bit."""

from __future__ import annotations

import math

import device
import pytest
import torch
from emulator import Emulator

from gradients import DTYPES, name_of


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """The emulator, built once."""
    return Emulator(tmp_path_factory.mktemp("emulator"))


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("needs", [0, 15], ids=["norm", "all"])
@pytest.mark.parametrize("overflow", [math.inf, 1.5])
def test_tables_have_the_bits_of_the_emulator(emulator, dtype, needs, overflow):
    sizes = (200_003, 0, 1, 4096, 77_777, 5)
    cpu = [device.random_gradient(dtype, n, faults=n % 2 == 1) for n in sizes]
    gpu = [tensor.cuda() for tensor in cpu]

    card = torch.cuda.get_device_properties(gpu[0].device).multi_processor_count
    wanted = emulator.measure(cpu, card, needs, overflow)
    got = device.measure(gpu, needs, overflow=overflow).cpu()
    assert got.isnan().equal(wanted.isnan())
    assert got.nan_to_num().equal(wanted.nan_to_num())


def test_lists_of_several_launches_have_the_bits_of_the_emulator(emulator):
    cpu = [torch.randn(1 + i % 37) for i in range(3000)]
    gpu = [tensor.cuda() for tensor in cpu]

    card = torch.cuda.get_device_properties(gpu[0].device).multi_processor_count
    wanted = emulator.measure(cpu, card, 0, math.inf)
    assert device.measure(gpu).cpu()[:6].equal(wanted[:6])
