"""Transformers and Accelerate under DDP on two ranks come to what one process does."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import launched
import rank_loops as loops

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(150)]

TRAINER = """
import transformers
from torch import nn

import rank_loops as loops
import training
from gradcore.integrations.transformers import GuardCallback

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = training.model()

    def forward(self, batch):
        return {"loss": loops.loss_of(self.net, batch)}

arguments = transformers.TrainingArguments(
    folder,
    use_cpu=True,
    ddp_backend="gloo",
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    num_train_epochs=1,
    max_grad_norm=loops.MAX_NORM,
    logging_steps=1,
    report_to=["tensorboard"],
    save_strategy="no",
    disable_tqdm=True,
    remove_unused_columns=False,
    train_sampling_strategy="sequential",
)
net = Model()
optimizer = torch.optim.SGD(net.parameters(), lr=loops.RATE)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
rows = [{"batch": row} for batch in loops.batches(2) for row in batch]
trainer = transformers.Trainer(
    model=net, args=arguments, train_dataset=rows, optimizers=(optimizer, schedule)
)
guard = GuardCallback().attach(trainer)
trainer.train()
wrapped = type(trainer.model_wrapped).__name__
result = [loops.told(guard.guard.history), loops.elements(net), wrapped]
"""

ACCELERATE = """
import accelerate

import gradcore
import rank_loops as loops
import training
from gradcore.integrations.accelerate import step
from gradcore.integrations.values import values_of

accelerator = accelerate.Accelerator(
    cpu=True, gradient_accumulation_steps=2, log_with="tensorboard", project_dir=folder
)
accelerator.init_trackers("run")
net = training.model()
optimizer = torch.optim.SGD(net.parameters(), lr=loops.RATE)
net, optimizer = accelerator.prepare(net, optimizer)
guard = gradcore.Guard(net, max_norm=loops.MAX_NORM)
for batch in loops.batches(2):
    with accelerator.accumulate(net):
        accelerator.backward(loops.loss_of(net, loops.half(batch, rank)))
        report = step(accelerator, guard, optimizer)
        optimizer.zero_grad()
        if report is not None:
            accelerator.log(values_of(guard, report), step=report.step)
for tracker in accelerator.trackers:
    tracker.finish()
result = [loops.told(guard.history), loops.elements(net), type(net).__name__]
"""


def logged(folder, tag):
    """What TensorBoard was told of a number, of all files in a folder."""
    events = []
    for file in folder.rglob("events.out.tfevents.*"):
        told = EventAccumulator(str(file)).Reload()
        events += told.Scalars(tag) if tag in told.Tags()["scalars"] else []
    return [event.value for event in sorted(events, key=lambda event: event.step)]


@pytest.mark.parametrize(
    ("program", "tag"),
    [(TRAINER, "train/gradcore/norm"), (ACCELERATE, "gradcore/norm")],
    ids=["transformers", "accelerate"],
)
def test_ddp_clips_and_skips_as_one_process_does(program, tag, tmp_path):
    first, second = launched.two_ranks(program, tmp_path)

    assert first == second
    steps, elements, kind = first
    assert kind == "DistributedDataParallel"
    net, guard = loops.plain(2)
    loops.check(steps, guard.history, 1e-5)
    assert elements == pytest.approx(loops.elements(net), rel=1e-5, abs=1e-5)
    assert logged(tmp_path, tag) == pytest.approx([norm for norm, *_ in steps], rel=1e-6)
