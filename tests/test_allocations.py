"""No temporary of a guarded step is large, as torch's profiler sees of every single allocation.

It sees what native code asks torch's allocator for as well; what that keeps in a `std::vector` it
does not see.
"""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from torch import nn
from torch.autograd.profiler import profile
from torch.optim import SGD

from gradcore import Guard, NonfiniteGradientError
from gradcore.builtin import POLICIES, STRATEGIES
from gradcore.plan import Scale

SHAPES = [(2048, 2048), (1024, 2048), (2048,), (512, 256, 3, 3), (7,)]
SHARE = 0.01
"""Of the bytes of all gradients: more than a temporary may have."""

TIGHT = {
    "adaptive": {},
    "ema": {},
    "global_norm": {"max_norm": 1.0},
    "per_parameter_norm": {"max_norm": 0.1},
    "percentile": {"warmup": 1},
    "value": {"limit": 0.5},
}
"""Options with which each strategy clips gradients ten times as large as those before."""

SNAPSHOTS = {"adaptive": {"snapshot_every": None}}
"""Options with which a policy keeps no snapshots, which are as large as what they are of."""

QUIET = 12
"""Steps before the one that is watched."""

pytestmark = pytest.mark.skipif(
    "config.getoption('--device') != 'cpu'", reason="it is about the allocator of the CPU"
)


class Cloning:
    """A strategy that has a gradient copied, which none is to do."""

    name = "cloning"
    needs = frozenset()

    def __init__(self, owner):
        self.owner = owner

    def __call__(self, statistics):
        copy = self.owner.grad.clone()
        return Scale(copy.flatten()[:1].sum().double().clamp(0.5, 0.5))


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def owners(request):
    """Parameters of 30 or 15 MB, with gradients."""
    torch.manual_seed(0)
    made = [nn.Parameter(torch.randn(shape).to(request.param)) for shape in SHAPES]
    for owner in made:
        owner.grad = torch.empty_like(owner)
    return made


def largest_allocation(owners, *, fault=None, optimizer=None, **guarding):
    """The largest one of a step with large gradients, as a share of them, and its report."""
    optimizer = optimizer or SGD(owners, lr=0.0, foreach=False)
    guard = Guard(optimizer, **guarding)
    for owner in owners:  # a test before may have let NaN through
        owner.data.fill_(1.0)
    for step in range(QUIET + 1):
        for owner in owners:
            owner.grad.fill_(0.1 if step < QUIET else 1.0)
        if step < QUIET:
            guard.step(optimizer)
    if fault is not None:
        owners[0].grad[5, 5] = fault
        owners[3].grad[0] = fault
    raises = fault is not None and guarding.get("nonfinite") == "raise"
    report = None
    ending = pytest.raises(NonfiniteGradientError) if raises else contextlib.nullcontext()
    with profile(use_cpu=True, profile_memory=True) as seen, ending:
        report = guard.step(optimizer)
    events = seen.kineto_results.events()
    sizes = [event.nbytes() for event in events if event.name() == "[memory]"]
    assert sizes  # the table of statistics is one
    return max(sizes) / sum(owner.grad.nbytes for owner in owners), report


@pytest.mark.parametrize("fault", [None, math.nan], ids=str)
@pytest.mark.parametrize("strategy", [kind.name for kind in STRATEGIES])
def test_no_strategy_takes_a_temporary_of_a_percent_of_the_gradients(owners, strategy, fault):
    clip = (strategy, TIGHT[strategy])
    share, report = largest_allocation(owners, fault=fault, clip=clip, nonfinite="zero")
    assert report.clipped
    assert (report.repaired > 0) == (fault is not None)
    assert share < SHARE


@pytest.mark.parametrize("fault", [None, math.nan], ids=str)
@pytest.mark.parametrize("policy", [kind.name for kind in POLICIES if kind.name != "restore"])
def test_no_policy_but_restore_takes_one_either(owners, policy, fault):
    nonfinite = (policy, SNAPSHOTS[policy]) if policy in SNAPSHOTS else policy
    share, _ = largest_allocation(owners, fault=fault, max_norm=1.0, nonfinite=nonfinite)
    assert share < SHARE


@pytest.mark.parametrize("options", [{"needs": "all"}, {"check_parameters": True}], ids=str)
def test_nor_do_all_statistics_or_a_look_at_parameters(owners, options):
    share, _ = largest_allocation(owners, fault=math.nan, max_norm=1.0, nonfinite="zero", **options)
    assert share < SHARE


def test_nor_does_clipping_that_is_left_to_the_optimizer(owners):
    optimizer = SGD(owners, lr=0.0, fused=True)
    share, report = largest_allocation(owners, optimizer=optimizer, max_norm=1.0)
    assert report.scaled_by_optimizer == (owners[0].dtype is torch.float32)
    assert share < SHARE


def test_a_strategy_that_copies_a_gradient_is_found_out(owners):
    share, _ = largest_allocation(owners, clip=Cloning(owners[1]))
    assert share == pytest.approx(owners[1].nbytes / sum(owner.nbytes for owner in owners))
    assert share > SHARE
