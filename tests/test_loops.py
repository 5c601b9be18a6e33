"""Loops that are not one loss, one backward, one step."""

from __future__ import annotations

import math

import pytest
import torch

import gradcore
import training


def accumulate(net, first_seed):
    """Add the gradients of four losses up."""
    for seed in range(first_seed, first_seed + 4):
        generator = torch.Generator().manual_seed(seed)
        (net(torch.randn(8, 4, generator=generator)).square().mean() / 4).backward()


@pytest.mark.parametrize("set_to_none", [True, False])
def test_accumulated_gradients_are_guarded_as_their_sum(set_to_none):
    nets = training.model(), training.model()
    optimizers = [torch.optim.Adam(net.parameters(), lr=0.01) for net in nets]
    guard = gradcore.Guard(nets[0], max_norm=1e6)
    for turn in range(5):
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad(set_to_none=set_to_none)
            accumulate(net, 4 * turn)
        total = torch.cat([p.grad.double().flatten() for p in nets[0].parameters()]).norm()
        assert guard.step(optimizers[0]).norm == pytest.approx(total.item(), rel=1e-12)
        optimizers[1].step()

    assert training.state(nets[0], optimizers[0]) == training.state(nets[1], optimizers[1])


def test_zeros_that_gradients_were_set_to_are_a_step_like_any_other():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    training.backward(net)
    optimizer.zero_grad(set_to_none=False)
    report = gradcore.Guard(net, max_norm=1.0).step(optimizer)

    assert (report.norm, report.clipped, report.skipped) == (0.0, False, False)


def test_a_layer_frozen_and_thawed_in_mid_run_counts_while_it_trains():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = gradcore.Guard(net)
    numbers = []
    for seed, trains in enumerate((True, False, True)):
        net[0].requires_grad_(requires_grad=trains)
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(seed)
        net(torch.randn(8, 4, generator=generator)).square().mean().backward()
        before = training.freeze(net[0].weight)
        report = guard.step(optimizer)
        numbers.append([row.numel for row in report.parameters])
        assert (training.freeze(net[0].weight) != before) == trains

    assert numbers == [[12, 3, 6], [None, None, 6], [12, 3, 6]]


def test_every_evaluation_of_lbfgs_can_be_guarded_in_its_closure():
    """An evaluation that breaks down has zeros for gradients, and parameters stay finite."""
    net = training.model()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=4)
    guard = gradcore.Guard(net)
    broken = False

    def closure():
        loss = training.backward(net)
        if broken:
            training.plant(net[2].weight, math.nan)
        guard.apply(loss=loss)
        return loss

    first = optimizer.step(closure)
    evaluations = guard.steps
    assert evaluations > 1
    broken = True
    optimizer.step(closure)
    assert training.finite(net)
    assert guard.history[-1].skipped
    broken = False
    assert closure() < first
