"""No policy but one that takes snapshots needs memory that grows with the model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gradcore import Registry
from peaks import PEAK

BYTES = 64 * 2**20

RUN = """
import json, math, sys
import gradcore, torch
elements, names = int(sys.argv[1]) // 4, sys.argv[2:]

def step(owners, name):
    for owner in owners:
        owner.grad[1] = math.nan
        owner.grad[-1] = -math.inf
        owner.grad[2] = 1e7
    name, _, snapshots = name.partition("/")
    options = {"snapshot_every": None} if snapshots else {}
    options |= {"overflow": 1e6} if name != "propagate" else {}
    guard = gradcore.Guard(owners, nonfinite=(name, options), max_norm=1.0, check_parameters=True)
    try:
        guard.apply(loss=1.0)
    except gradcore.NonfiniteGradientError:
        assert name == "raise"
    for owner, gradient in zip(owners, gradients[len(owners[0])]):
        owner.grad = gradient.fill_(1.0)

gradients = {size: [torch.ones(size) for _ in range(2)] for size in (100, elements // 2)}
owners = {}
for size, tensors in gradients.items():
    owners[size] = [torch.nn.Parameter(torch.ones(size)) for _ in tensors]
    for owner, gradient in zip(owners[size], tensors):
        owner.grad = gradient
grown = {}
for name in names:
    step(owners[100], name)  # what is made once, whatever the size
    before = peak()
    step(owners[elements // 2], name)
    grown[name] = peak() - before
print(json.dumps(grown))
"""


@pytest.fixture(scope="module")
def grown():
    names = [n for n in Registry(plugins=False).names("nonfinite") if n != "restore"]
    names = [f"{name}/no snapshots" if name == "adaptive" else name for name in names]
    command = [sys.executable, "-c", PEAK + RUN, str(BYTES), *names, "restore"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_no_temporary_is_above_a_hundredth_of_the_gradients(grown):
    without = {name: size for name, size in grown.items() if name != "restore"}

    assert len(without) >= 9
    assert {name: size for name, size in without.items() if size > BYTES / 100} == {}


def test_a_snapshot_would_be_seen(grown):
    assert grown["restore"] > BYTES / 2
