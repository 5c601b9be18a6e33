"""When the gain monitor's hooks run, whatever else plays with the graph, and when they go."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import gradcore
from gradcore.monitors import GradientGainMonitor
from stacks import NORMS, data, outputs_of, stack


class InPlace(nn.Module):
    """A residual stream that is added to in place, as memory-saving models do."""

    def __init__(self, shape):
        super().__init__()
        self.inner = nn.Linear(6, 6).double()
        self.shape = shape

    def forward(self, x):
        return self.inner(x).sin().view(self.shape)


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (30,)])
def test_what_is_done_in_place_to_an_output_does_not_disturb(shape):
    blocks, x = nn.ModuleList([InPlace(shape), InPlace((5, 6))]), data()

    def run(*, in_place):
        first = blocks[0](x)
        changed = first.mul_(3.0) if in_place else first * 3.0
        second = blocks[1](changed.reshape(5, 6))
        return first, second, (second.add_(1.0) if in_place else second + 1.0).square().sum()

    first, second, loss = run(in_place=False)
    expected = [NORMS["l2"](g.numpy()) for g in torch.autograd.grad(loss, (first, second))]
    with GradientGainMonitor(blocks) as monitor:
        run(in_place=True)[-1].backward()

    assert monitor.norms() == pytest.approx(expected, rel=1e-12)


def test_a_second_backward_is_an_error_in_strict_mode():
    blocks = stack(2)
    with GradientGainMonitor(blocks):
        loss = outputs_of(blocks, data())[-1].sum()
        loss.backward(retain_graph=True)
        with pytest.raises(gradcore.MonitorError, match=r"block 1 \(Sequential\).*reset\(\)") as e:
            loss.backward()

    assert isinstance(e.value, RuntimeError)


@pytest.mark.parametrize("norm", ["l2", "mean"])
def test_in_permissive_mode_the_last_backward_counts(norm):
    blocks, x = stack(2), data()
    with GradientGainMonitor(blocks, norm, strict_single_backward=False) as monitor:
        loss = outputs_of(blocks, x)[-1].sum()
        loss.backward(retain_graph=True)
        once = monitor.norms()
        (4.0 * loss).backward()

    assert monitor.norms() == pytest.approx([4.0 * value for value in once])


def test_after_a_reset_the_next_pass_is_measured_and_the_last_forgotten():
    blocks = stack(2)
    with GradientGainMonitor(blocks) as monitor:
        for _ in range(3):
            outputs_of(blocks, data())[-1].sum().backward()
            assert None not in monitor.norms()
            monitor.reset()
            assert monitor.norms() == [None, None]


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_gradient_checkpointing_changes_nothing(reentrant, together):
    blocks, x = stack(4), data().requires_grad_()
    outputs = outputs_of(blocks, x)
    gradients = torch.autograd.grad(outputs[-1].exp().sum(), outputs)

    with GradientGainMonitor(blocks) as monitor:
        y = x
        for part in [blocks[:2], blocks[2:]] if together else [[block] for block in blocks]:
            y = checkpoint(nn.Sequential(*part), y, use_reentrant=reentrant)
        y.exp().sum().backward()

    assert monitor.norms() == pytest.approx([NORMS["l2"](g.numpy()) for g in gradients], rel=1e-12)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # Dynamo looks at it while tracing
@pytest.mark.parametrize("how", ["each", "in place", "whole"])
def test_compiled_blocks_are_measured_like_others(how):
    blocks, x = stack(3), data()
    with GradientGainMonitor(blocks) as plain:
        outputs_of(blocks, x)[-1].sum().backward()

    if how == "in place":
        for block in blocks:
            block.compile(backend="aot_eager")
    each = [torch.compile(b, backend="aot_eager") if how == "each" else b for b in blocks]
    run = torch.compile(outputs_of, backend="aot_eager") if how == "whole" else outputs_of
    with GradientGainMonitor(each) as monitor:
        run(each, x)[-1].sum().backward()

    torch.compiler.reset()
    assert monitor.norms() == pytest.approx(plain.norms(), rel=1e-9)


def test_hooks_are_gone_after_an_error_too():
    blocks = stack(2)
    monitor = GradientGainMonitor(blocks)
    outputs = []

    def fail():
        with monitor:
            outputs.extend(outputs_of(blocks, data()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    outputs[-1].sum().backward()
    assert monitor.norms() == [None, None]
    assert all(not block._forward_hooks for block in blocks)  # noqa: SLF001 - who else knows
    assert all(not output._backward_hooks for output in outputs)  # noqa: SLF001


@pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph")
def test_what_was_recorded_can_be_read_after_closing_and_holds_no_graph():
    blocks = stack(2)
    monitor = GradientGainMonitor(blocks)
    outputs = outputs_of(blocks, data())
    alive = weakref.ref(outputs[0])
    outputs[-1].sum().backward(create_graph=True)
    blocks.zero_grad()
    del outputs
    gc.collect()
    assert alive() is None

    monitor.close()
    monitor.close()
    assert None not in monitor.norms()
    assert "mean_gain" in monitor.report()


def test_forward_passes_without_a_backward_leave_nothing_behind():
    blocks = stack(2)
    with GradientGainMonitor(blocks) as monitor:
        for _ in range(20):
            outputs_of(blocks, data())
        assert len(monitor._arriving) <= 4  # noqa: SLF001 - memory is what this is about
