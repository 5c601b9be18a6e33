"""A skipped step leaves every bit of parameters and optimizer state, whatever the optimizer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gradcore
import training

WAYS = list(training.optimizers())


def network(kind):
    """Muon takes matrices alone."""
    net = training.model()
    if kind.__name__ == "Muon":
        net[0].register_parameter("bias", None)
    return net


@pytest.mark.parametrize(("kind", "options"), [w[1:] for w in WAYS], ids=[w[0] for w in WAYS])
@pytest.mark.parametrize("before", [0, 2])
def test_a_skip_changes_no_bit_and_the_next_step_is_as_if_nothing_had_been(kind, options, before):
    """At the very first step too, when the optimizer has no state yet."""
    net, twin = network(kind), network(kind)
    optimizer, reference = kind(net.parameters(), **options), kind(twin.parameters(), **options)
    guard = gradcore.Guard(net)
    for seed in range(before):
        for model, optimize in ((net, lambda: guard.step(optimizer)), (twin, reference.step)):
            training.backward(model, seed)
            optimize()

    frozen = training.state(net, optimizer)
    training.backward(net, 98)
    training.plant(net[0].weight, math.nan, math.inf)
    report = guard.step(optimizer)
    assert report.skipped
    assert (report.nonfinite.nan, report.nonfinite.posinf) == (1, 1)
    assert training.state(net, optimizer) == frozen

    for model, optimize in ((net, lambda: guard.step(optimizer)), (twin, reference.step)):
        training.backward(model, 99)
        optimize()
    assert training.finite(net)
    assert training.state(net, optimizer) == training.state(twin, reference)


@pytest.mark.parametrize(("kind", "options"), [w[1:] for w in WAYS], ids=[w[0] for w in WAYS])
def test_attached_guards_skip_alike(kind, options):
    net = network(kind)
    optimizer = kind(net.parameters(), **options)
    gradcore.Guard(net).attach(optimizer)
    training.backward(net)
    optimizer.step()

    frozen = training.state(net, optimizer)
    training.backward(net)
    training.plant(net[0].weight, -math.inf)
    optimizer.step()
    assert training.state(net, optimizer) == frozen


@pytest.mark.parametrize("way", ["step", "attach", "apply"])
def test_sparse_gradients_are_skipped_alike(way, device):
    if device.type == "software":
        pytest.skip("torch has no sparse tensors of PrivateUse1")
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters(), lr=0.1)
    guard = gradcore.Guard(table, max_norm=1.0)
    if way == "attach":
        guard.attach(optimizer)

    def step():
        if way == "step":
            return guard.step(optimizer)
        report = guard.apply() if way == "apply" else None
        optimizer.step()
        return report

    table(torch.tensor([1, 1, 4])).sum().backward()
    step()
    frozen = training.state(table, optimizer)
    table.zero_grad()
    (table(torch.tensor([1, 2])) * math.nan).sum().backward()
    step()
    assert training.state(table, optimizer) == frozen
    table.zero_grad()
    table(torch.tensor([3])).sum().backward()
    step()
    assert training.state(table, optimizer) != frozen
    assert training.finite(table)


def test_a_skip_leaves_the_gradients_for_inspection():
    net = training.model()
    training.backward(net)
    training.plant(net[0].weight, math.nan)
    before = training.freeze([p.grad for p in net.parameters()])

    gradcore.Guard(net, max_norm=1e-3).step(torch.optim.SGD(net.parameters(), lr=1.0))
    assert training.freeze([p.grad for p in net.parameters()]) == before


def test_a_skip_where_the_caller_steps_takes_the_gradients_away():
    """So that the optimizer finds nothing to do; parameters of others keep theirs."""
    net, other = training.model(), training.model()
    optimizer = torch.optim.AdamW([*net.parameters(), *other.parameters()], weight_decay=0.5)
    training.backward(other)
    training.backward(net)
    training.plant(net[2].weight, math.inf)

    frozen = training.freeze(list(net.parameters()))
    report = gradcore.Guard(net).apply()
    assert report.skipped
    assert all(parameter.grad is None for parameter in net.parameters())
    optimizer.step()
    assert training.freeze(list(net.parameters())) == frozen
    assert training.freeze(list(other.parameters())) != frozen


@pytest.mark.parametrize("attached", [True, False])
def test_lbfgs_is_refused_in_words(attached):
    net = training.model()
    optimizer = torch.optim.LBFGS(net.parameters())
    guard = gradcore.Guard(net)
    training.backward(net)

    with pytest.raises((TypeError, ValueError, gradcore.GradcoreError), match="LBFGS"):
        guard.attach(optimizer) if attached else guard.step(optimizer)


def test_a_subclass_of_an_optimizer_is_skipped_too():
    class Mine(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.sub_(group["lr"] * parameter.grad.sign())
            return closure

    net = training.model()
    optimizer = Mine(net.parameters())
    training.backward(net)
    training.plant(net[0].bias, math.nan)
    frozen = training.freeze(list(net.parameters()))

    assert gradcore.safe_step(optimizer).skipped
    assert training.freeze(list(net.parameters())) == frozen
    training.backward(net)
    assert not gradcore.safe_step(optimizer).skipped
    assert training.freeze(list(net.parameters())) != frozen
