"""Rows B9 and D7: early stopping, schedules, modules of Lightning, with faults in the run."""

from __future__ import annotations

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
import transformers
from torch import nn

import gradcore
import training
from gradcore.integrations.lightning import GuardCallback
from gradcore.integrations.transformers import GuardCallback as TrainerGuard
from gradcore.numerics import nway_contrastive_loss
from lightning_models import loader, trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # advice about workers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Regression(pl.LightningModule):
    """A line is learnt; every tenth batch is broken."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)
        self.rates: list[float] = []

    def training_step(self, batch, index):
        broken = batch * float("nan") if index % 10 == 9 else batch
        return (self.net(broken) - batch.sum(1, keepdim=True)).square().mean()

    def validation_step(self, batch):
        loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()
        self.log("val_loss", loss, batch_size=len(batch))

    def on_train_batch_start(self, batch, index):
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def fit_until_it_stops(*callbacks):
    module, data = Regression(), list(torch.randn(20, 16, 4))
    stop = pl.callbacks.EarlyStopping("val_loss", min_delta=1e-3, patience=2)
    run = trainer([*callbacks, stop], max_epochs=30, num_sanity_val_steps=0)
    run.fit(module, loader(data), loader(data[:2]))
    return module, run


def test_b9_early_stopping_ends_a_run_that_has_converged_and_the_schedule_goes_on():
    guard = GuardCallback(max_norm=1.0)
    module, run = fit_until_it_stops(guard)

    assert 3 < run.current_epoch < 30
    assert run.callback_metrics["val_loss"] < 1e-2
    history = guard.guards[0].history
    assert [report.step for report in history if report.skipped] == list(
        range(9, run.current_epoch * 20, 10)
    )
    assert module.rates == pytest.approx([0.1 * 0.99**step for step in range(len(history))])
    assert [report.parameters[0].lr for report in history[-100:]] == module.rates[-100:]


def test_b9_without_the_guard_the_same_run_is_lost_in_its_first_epoch():
    module, run = fit_until_it_stops()

    assert run.current_epoch == 1
    assert not training.finite(module)


def test_b9_early_stopping_can_watch_what_the_guard_reports():
    stop = pl.callbacks.EarlyStopping(
        "gradcore/total/skipped",
        patience=100,
        divergence_threshold=3.5,
        check_on_train_epoch_end=True,
    )
    run = trainer([GuardCallback(), stop], max_epochs=30)
    run.fit(Regression(), loader(list(torch.randn(20, 16, 4))))

    assert run.current_epoch == 2  # two broken batches an epoch


class Line(nn.Module):
    """A line is learnt; what a Trainer calls."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)

    def forward(self, batch, return_loss=True):  # the default tells the Trainer that it can
        return {"loss": (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()}


def test_b9_early_stopping_and_the_schedule_of_transformers_go_on(tmp_path):
    data = torch.randn(160, 4)
    data[72:80] = float("nan")  # the last batch of every ten
    rows = [{"batch": row} for row in data[:80]]
    arguments = transformers.TrainingArguments(
        tmp_path,
        use_cpu=True,
        per_device_train_batch_size=8,
        num_train_epochs=30,
        learning_rate=0.1,
        lr_scheduler_type="linear",
        optim="sgd",
        train_sampling_strategy="sequential",
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model="eval_loss",
        load_best_model_at_end=True,
        logging_strategy="epoch",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    stop = transformers.EarlyStoppingCallback(2, early_stopping_threshold=1e-3)
    run = transformers.Trainer(
        model=Line(),
        args=arguments,
        train_dataset=rows,
        eval_dataset=[{"batch": row} for row in data[80:]],
        callbacks=[stop],
    )
    guard = TrainerGuard(max_norm=1.0).attach(run)
    run.train()

    history, epochs = guard.guard.history, round(run.state.epoch)
    assert 3 < epochs < 30
    assert run.state.best_metric < 1e-2
    assert [r.step for r in history if r.skipped] == list(range(9, epochs * 10, 10))
    rates = [report.parameters[0].lr for report in history]
    assert rates == pytest.approx([0.1 * (1 - step / 300) for step in range(epochs * 10)])


def test_b9_schedules_of_torch_go_on_in_a_plain_loop():
    net = training.model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=20)
    guard = gradcore.Guard(net)
    wanted = []
    for step in range(20):
        training.backward(net, step)
        if step in {5, 11}:
            training.plant(net[0].weight)
        wanted.append(schedule.get_last_lr()[0])
        assert guard.step(optimizer).skipped == (step in {5, 11})
        schedule.step() if step < 19 else None

    assert [report.parameters[0].lr for report in guard.history] == wanted
    assert len(set(wanted)) > 10


def naive_loss(first, second, logit_scale):
    """InfoNCE as it is often written; its exponentials overflow in float32 beyond 88."""
    first, second = (nn.functional.normalize(each) for each in (first, second))
    scores = torch.exp(logit_scale * first @ second.T)
    return -torch.log(scores.diagonal() / scores.sum(1)).mean()


class Pairs(pl.LightningModule):
    """Two encoders and a contrastive loss, which is an attribute like any."""

    def __init__(self, loss) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(nn.Linear(6, 4) for _ in range(2))
        self.loss = loss
        self.losses: list[float] = []

    def training_step(self, batch):
        loss = self.loss(*(encoder(batch) for encoder in self.encoders), logit_scale=100.0)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit_pairs(module, *callbacks):
    torch.manual_seed(7)
    with torch.no_grad():
        module.encoders[1].load_state_dict(module.encoders[0].state_dict())
        module.encoders[1].weight += 0.3 * torch.randn(4, 6)
    trainer(list(callbacks), max_epochs=5).fit(module, loader(list(torch.randn(20, 8, 6))))


def test_d7_a_callback_protects_a_lightning_module_and_a_stable_loss_takes_the_place_of_its_own():
    lost = Pairs(naive_loss)
    fit_pairs(lost)
    assert not training.finite(lost)

    module, guard = Pairs(naive_loss), GuardCallback(max_norm=1.0)
    fit_pairs(module, guard)
    assert any(report.skipped for report in guard.guards[0].history)
    assert training.finite(module)

    module = Pairs(naive_loss)
    module.loss = partial(nway_contrastive_loss, method="cosine")
    guard = GuardCallback(max_norm=1.0)
    fit_pairs(module, guard)
    assert not any(report.skipped for report in guard.guards[0].history)
    assert sum(module.losses[-20:]) < 0.5 * sum(module.losses[:20])
