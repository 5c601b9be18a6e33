"""Kernels for every instruction set give the same bits, and one can be forced."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import gradcore

PROGRAM = """
import hashlib, math, torch, gradcore
digest = hashlib.sha256()
for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
              torch.complex128):
    values = torch.randn(70_001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values[::999] = 1e-30
    for faults in ((), (math.nan, math.inf, -math.inf)):
        owner = torch.zeros(70_001, dtype=dtype, requires_grad=True)
        owner.grad = values.to(dtype)
        for index, fault in enumerate(faults):
            owner.grad[4321 * index] = fault
        for needs in ((), ("l1", "max_abs", "sum", "zeros")):
            digest.update(gradcore.measure([owner], needs).table.numpy().tobytes())
        gradcore.clip_grad_norm_([owner], 0.1, nonfinite="zero")
        gradcore.clip_grad_value_([owner], 1e-4)
        digest.update(owner.grad.view(torch.uint8).numpy().tobytes())
print(gradcore.build_info()["cpu_in_use"], digest.hexdigest())
"""


def run(capability: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GRADCORE_CPU": capability, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def supported() -> tuple[str, ...]:
    from gradcore.loading import native  # noqa: PLC0415 - not a public name

    return native.cpu_supported


def test_every_instruction_set_gives_the_same_bits():
    results = {}
    for capability in supported():
        done = run(capability)
        assert done.returncode == 0, done.stderr
        in_use, results[capability] = done.stdout.split()
        assert in_use == capability

    assert len(set(results.values())) == 1, results


def test_the_fastest_that_the_processor_has_is_in_use():
    info = gradcore.build_info()
    if "GRADCORE_CPU" in os.environ:
        pytest.skip("GRADCORE_CPU is set")
    assert info["cpu_in_use"] == supported()[-1]
    assert set(supported()) <= set(info["cpu"])


def test_one_that_cannot_run_is_an_error_that_lists_those_that_can():
    done = run("neon")

    assert done.returncode != 0
    assert "GRADCORE_CPU=neon asks for kernels that cannot run here" in done.stderr
    assert "baseline" in done.stderr
