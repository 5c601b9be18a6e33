"""A guard in a loop of Accelerate does what it does in a plain one."""

from __future__ import annotations

import accelerate
import pytest
import torch

import framework_loops as loops
import gradcore
import training
from gradcore.integrations.accelerate import step

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def forget() -> None:
    """Drop the state that accelerators of a process share; there is no public way."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001
    accelerate.state.GradientState._reset_state()  # noqa: SLF001


@pytest.fixture
def accelerator_of():
    def make(**options):
        forget()
        return accelerate.Accelerator(cpu=True, **options)

    yield make
    forget()


def train(accelerator, batches, accumulate, **options):
    net = training.model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    net, optimizer, loader, schedule = accelerator.prepare(net, optimizer, loader, schedule)
    guard = gradcore.Guard(net, **options)
    reports, total = [], torch.zeros(())
    for index, batch in enumerate(loader):
        with accelerator.accumulate(net):
            loss = loops.loss_of(net, batch)
            accelerator.backward(loss)
            total = total + loss.detach() / accumulate
            if accelerator.sync_gradients:
                loops.plant(net, index // accumulate)
            reports.append(step(accelerator, guard, optimizer, loss=total))
            total = total if reports[-1] is None else torch.zeros(())
            schedule.step()
            optimizer.zero_grad()
    return net, optimizer, guard, reports


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_is_that_of_a_plain_loop_bit_for_bit(accelerator_of, accumulate):
    batches = loops.batches(loops.STEPS * accumulate)
    accelerator = accelerator_of(gradient_accumulation_steps=accumulate)
    net, optimizer, guard, reports = train(accelerator, batches, accumulate, **loops.OPTIONS)

    steps = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    wanted, plain_optimizer, plain = loops.plain(steps)
    assert loops.told(guard) == loops.told(plain)
    assert training.freeze(list(net.parameters())) == training.freeze(list(wanted.parameters()))
    assert training.freeze(optimizer.state_dict()["state"]) == training.freeze(
        plain_optimizer.state_dict()["state"]
    )
    none = [report is None for report in reports]
    assert none == [(i + 1) % accumulate != 0 for i in range(len(batches))]


def test_a_scaler_unscales_and_backs_off(accelerator_of):
    """Accelerate makes one on a GPU only; it uses any."""
    accelerator = accelerator_of()
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    _, optimizer, guard, _ = train(accelerator, loops.batches(), 1, **loops.OPTIONS)

    _, _, plain = loops.plain([[batch] for batch in loops.batches()])
    assert [r.norm for r in guard.history] == pytest.approx([r.norm for r in plain.history])
    assert [report.step for report in guard.history if report.skipped] == loops.SKIPPED
    assert accelerator.scaler.get_scale() == 64.0
    assert not optimizer.step_was_skipped  # the last was not


def test_deepspeed_is_refused():
    class Engine:
        distributed_type = accelerate.DistributedType.DEEPSPEED

    with pytest.raises(gradcore.GradcoreError, match="engine"):
        step(Engine(), None, None)
