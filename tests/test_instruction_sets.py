"""Kernels for every instruction set that this machine has say what plain ATen operators say."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import gradcore

# The choice is made once, when the core is first used: each has a process of its own.
COMPARE = """
import math, warnings
import gradcore, torch
warnings.simplefilter("ignore")
operators = torch.ops.gradcore
wide = {torch.complex32: torch.float16, torch.complex64: torch.float32,
        torch.complex128: torch.float64}
narrow = {torch.float16, torch.bfloat16, torch.complex32}

def sample(dtype, count, spread):
    part = wide.get(dtype, dtype)
    shape = (count, 2) if dtype.is_complex else (count,)
    values = torch.randn(shape, dtype=torch.float64) * 10 ** (spread * torch.randn(shape[0], 1)
        if dtype.is_complex else spread * torch.randn(shape))
    for place, fault in enumerate((math.nan, math.inf, -math.inf)):
        values.view(-1)[place :: 997] = fault
    values = values.to(part)
    return torch.view_as_complex(values) if dtype.is_complex else values

torch.manual_seed(0)
for dtype in (*narrow, torch.float32, torch.float64, torch.complex64, torch.complex128):
    for spread in (0, 3):
        tensors = [sample(dtype, count, spread)[1:] for count in (2, 9, 40_001)]
        twins = [tensor.clone() for tensor in tensors]
        table = operators.measure(tensors, 31, 3.0, 5.0, None)
        twin = operators.measure_composite(twins, 31, 3.0, 5.0, None)
        assert torch.equal(table[1:5], twin[1:5]), dtype
        assert torch.equal(table[10], twin[10]), dtype
        close = {"rtol": 1e-6 if dtype in narrow else 2e-12, "atol": 0.0}
        torch.testing.assert_close(table[[5, 6, 7, 11]], twin[[5, 6, 7, 11]], **close)
        for repair in range(4):
            values = [0.5, 3.0, -1.0] if repair == 2 else None
            rest = (torch.tensor(0.3, dtype=torch.float64), None, repair, values, 5.0, math.inf)
            ours, theirs = ([t.clone() for t in tensors] for _ in range(2))
            operators.apply_(ours, table, *rest)
            operators.apply_composite_(theirs, twin, *rest)
            for one, other in zip(ours, theirs):
                if dtype.is_complex:
                    one, other = torch.view_as_real(one), torch.view_as_real(other)
                if dtype not in narrow:
                    assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0)), dtype
                close = {"rtol": 1e-2 if dtype is torch.bfloat16 else 2e-3, "atol": 1e-7}
                torch.testing.assert_close(one, other, equal_nan=True, **close)
print("in use:", gradcore.build_info()["cpu_in_use"])
"""


@pytest.mark.parametrize("name", gradcore.build_info()["cpu"])
def test_each_set_of_instructions_agrees_with_plain_operators(name):
    environment = {**os.environ, "GRADCORE_CPU": name}
    run = subprocess.run(
        [sys.executable, "-c", COMPARE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    used = run.stdout.splitlines()[-1].removeprefix("in use: ")
    if used != name:
        pytest.skip(f"this machine has no {name}")
