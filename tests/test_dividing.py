"""Clipping that is left to a fused optimizer, against float64 arithmetic that clips first."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW

from gradcore import Guard
from gradcore.dividing import WORTH

ELEMENTS = 2 * WORTH + 5  # some are left over, whatever number of them a kernel takes at a time
MAX_NORM = 1.0
STEPS = 20

SETTINGS = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    (Adam, {"lr": 0.01, "weight_decay": 0.1}),
    (Adam, {"lr": 0.01, "amsgrad": True}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    (Adagrad, {"lr": 0.01, "lr_decay": 0.01, "weight_decay": 0.1}),
]
ONE_EACH = [SETTINGS[1], SETTINGS[3], SETTINGS[5], SETTINGS[7]]

pytestmark = pytest.mark.skipif(
    "config.getoption('--device') != 'cpu'", reason="what is left to optimizers is so on the CPU"
)


def parameters(dtype=torch.float32, sizes=(ELEMENTS, 3 * WORTH)):
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(n, generator=generator).to(dtype)) for n in sizes]


def give_gradients(owners, step=0, *, factor=1.0):
    generator = torch.Generator().manual_seed(100 + step)
    for owner in owners:
        gradient = torch.randn(owner.shape, generator=generator) * 0.1 * factor
        owner.grad = gradient.to(owner.dtype)


def joint_norm(owners):
    return math.sqrt(sum(owner.grad.double().square().sum().item() for owner in owners))


@pytest.mark.parametrize(("kind", "options"), SETTINGS)
def test_twenty_steps_are_those_of_float64_that_clips_and_then_steps(kind, options):
    ours, exact = parameters(), parameters(torch.float64)
    optimizer = kind(ours, fused=True, **options)
    reference = kind(exact, foreach=False, **options)
    guard = Guard(optimizer, max_norm=MAX_NORM)
    for step in range(STEPS):
        factor = 1e-3 if step == 7 else 1.0  # a step that clips nothing among them
        give_gradients(ours, step, factor=factor)
        for mine, theirs in zip(ours, exact, strict=True):
            theirs.grad = mine.grad.double()
        norm = joint_norm(exact)
        scale = min(1.0, MAX_NORM / norm)
        for theirs in exact:
            theirs.grad *= scale

        report = guard.step(optimizer)
        reference.step()

        assert report.scaled_by_optimizer == report.clipped == (step != 7)
        assert (report.norm, report.scale) == pytest.approx((norm, scale), rel=1e-9)
        for mine, theirs in zip(ours, exact, strict=True):
            torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1.2e-7, atol=0.0)
    for mine, theirs in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-6, atol=1e-6)
    assert not {"grad_scale", "found_inf"} & vars(optimizer).keys()


@pytest.mark.parametrize(("kind", "options"), ONE_EACH)
def test_a_first_step_that_is_skipped_leaves_no_trace_in_those_after_it(kind, options):
    skipping, plain = parameters(), parameters()
    optimizers = [kind(owners, fused=True, **options) for owners in (skipping, plain)]
    guards = [Guard(optimizer, max_norm=MAX_NORM) for optimizer in optimizers]
    give_gradients(skipping)
    skipping[0].grad[3] = math.nan
    first = guards[0].step(optimizers[0])
    assert (first.skipped, first.scaled_by_optimizer) == (True, False)
    for step in range(3):
        for owners, guard, optimizer in zip((skipping, plain), guards, optimizers, strict=True):
            give_gradients(owners, step)
            assert guard.step(optimizer).scaled_by_optimizer
    for one, other in zip(skipping, plain, strict=True):
        assert torch.equal(one, other)


def share_memory(owners):
    owners[0].grad = owners[1].grad[:ELEMENTS]


def transpose(owners):
    owners[0].data = torch.zeros(256, 256)
    owners[0].grad = torch.ones(256, 256).t() / 256 * torch.arange(1.0, 257.0)


def plant_nan(owners):
    owners[0].grad[5] = math.nan


def nothing(owners):
    del owners


@pytest.mark.parametrize(
    ("change", "guarding"),
    [
        (share_memory, {"max_norm": MAX_NORM}),
        (transpose, {"max_norm": MAX_NORM}),
        (plant_nan, {"max_norm": MAX_NORM, "nonfinite": "zero"}),
        (nothing, {"clip": ("per_parameter_norm", {"max_norm": 0.5})}),
        (nothing, {"clip": ("value", {"limit": 0.01})}),
    ],
)
def test_what_an_optimizer_would_get_wrong_is_clipped_before_it_steps(change, guarding):
    owners = parameters()
    give_gradients(owners)
    change(owners)
    optimizer = SGD(owners, lr=0.1, fused=True)
    report = Guard(optimizer, **guarding).step(optimizer)
    assert (report.clipped, report.scaled_by_optimizer) == (True, False)


@pytest.mark.parametrize(
    ("kind", "options", "sizes", "dtype"),
    [
        (SGD, {"fused": False}, (ELEMENTS,), torch.float32),
        (SGD, {"fused": True}, (WORTH // 2,), torch.float32),
        (SGD, {"fused": True}, (ELEMENTS,), torch.float64),
        (Adam, {"fused": True}, (ELEMENTS,), torch.bfloat16),
        (type("Own", (SGD,), {}), {"fused": True}, (ELEMENTS,), torch.float32),
    ],
)
def test_other_optimizers_and_gradients_are_clipped_before(kind, options, sizes, dtype):
    owners = parameters(dtype, sizes)
    give_gradients(owners)
    optimizer = kind(owners, lr=0.1, **options)
    report = Guard(optimizer, max_norm=MAX_NORM).step(optimizer)
    assert (report.clipped, report.scaled_by_optimizer) == (True, False)


def test_whoever_looks_before_the_optimizer_steps_sees_clipped_gradients():
    owners = parameters()
    give_gradients(owners)
    optimizer = SGD(owners, lr=0.1, fused=True)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(joint_norm(owners)))
    report = Guard(optimizer, max_norm=MAX_NORM).step(optimizer)
    assert not report.scaled_by_optimizer
    assert seen == pytest.approx([MAX_NORM], rel=1e-6)


def test_a_guarded_gradient_that_the_optimizer_does_not_step_is_clipped_too():
    owners = parameters()
    give_gradients(owners)
    optimizer = SGD(owners[:1], lr=0.1, fused=True)
    report = Guard(owners, max_norm=MAX_NORM).step(optimizer)
    assert not report.scaled_by_optimizer
    assert joint_norm(owners) == pytest.approx(MAX_NORM, rel=1e-6)


def test_a_learning_rate_scheduler_changes_nothing():
    owners = parameters()
    give_gradients(owners)
    optimizer = SGD(owners, lr=0.1, fused=True)
    torch.optim.lr_scheduler.StepLR(optimizer, 10)
    assert Guard(optimizer, max_norm=MAX_NORM).step(optimizer).scaled_by_optimizer


def test_an_optimizer_that_raises_is_told_of_nothing_afterwards():
    owners = parameters()
    give_gradients(owners)
    optimizer = Adam(owners, lr=0.1, fused=True)
    optimizer.param_groups[0]["betas"] = None
    with pytest.raises(TypeError):
        Guard(optimizer, max_norm=MAX_NORM).step(optimizer)
    assert not {"grad_scale", "found_inf"} & vars(optimizer).keys()
