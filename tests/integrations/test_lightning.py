"""A guard in a Lightning Trainer does what it does in a plain loop, step for step."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import pytorch_lightning
import torch
from lightning.pytorch.loggers import CSVLogger

import framework_loops as loops
import training
from gradcore.integrations.lightning import GuardCallback
from lightning_models import Model, loader, same, trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # advice about workers and loggers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def without_prefix(reports):
    """The module of the plain loop is an attribute here."""
    rows = loops.told(reports)
    for row in rows:
        for name in ("first_nonfinite", "last_clean"):
            row[name] = row[name] and row[name].removeprefix("net.")
        for parameter in row["parameters"]:
            parameter["name"] = parameter["name"].removeprefix("net.")
    return rows


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_is_that_of_a_plain_loop_bit_for_bit(accumulate):
    batches = loops.batches(loops.STEPS * accumulate)
    module, callback = Model(accumulate), GuardCallback(**loops.OPTIONS)
    trainer(callback, accumulate_grad_batches=accumulate).fit(module, loader(batches))

    steps = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    net, optimizer, guard = loops.plain(steps)
    assert same(module, net)
    assert without_prefix(callback.guards[0]) == loops.told(guard)
    wanted = training.freeze(optimizer.state_dict()["state"])
    assert training.freeze(module.optimizers().state_dict()["state"]) == wanted


def test_a_skip_changes_no_bit_of_parameters_and_optimizer_state():
    module, callback = Model(), GuardCallback(**loops.OPTIONS)
    trainer(callback).fit(module, loader(loops.batches()))

    skipped = [report.step for report in callback.guards[0].history if report.skipped]
    kept = [i for i in range(loops.STEPS - 1) if module.frozen[i] == module.frozen[i + 1]]
    assert kept == skipped == loops.SKIPPED
    assert callback.guards[0].history[loops.SPIKE].norm > 1e20
    assert training.finite(module.net)


def test_a_policy_that_repairs_sees_single_elements_before_anything_is_spread():
    module, callback = Model(), GuardCallback(nonfinite="zero")
    trainer(callback, gradient_clip_val=0.5).fit(module, loader(loops.batches()))

    assert [report.repaired for report in callback.guards[0].history if report.repaired] == [1, 2]
    assert training.finite(module.net)


def test_the_trainer_of_the_other_package_takes_the_callback():
    class Other(pytorch_lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = training.model()
            self.steps = 0

        def training_step(self, batch):
            return loops.loss_of(self.net, batch)

        def on_after_backward(self):
            loops.plant(self.net, self.steps)
            self.steps += 1

        def configure_optimizers(self):
            return torch.optim.AdamW(self.net.parameters(), lr=0.05)

    module, callback = Other(), GuardCallback(**loops.OPTIONS)
    trainer(callback, pytorch_lightning).fit(module, loader(loops.batches()))

    net, _, _ = loops.plain([[batch] for batch in loops.batches()])
    assert same(module, net)


def test_reports_reach_the_logger_of_the_trainer(tmp_path):
    logger = CSVLogger(tmp_path)
    callback = GuardCallback(**loops.OPTIONS)
    trainer(callback, logger=logger, log_every_n_steps=1).fit(Model(), loader(loops.batches()))

    text = (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().splitlines()
    names = text[0].split(",")
    table = [dict(zip(names, line.split(","), strict=True)) for line in text[1:]]
    history = callback.guards[0].history
    assert [float(row["gradcore/norm"]) for row in table] == pytest.approx(
        [report.norm for report in history], rel=1e-6
    )
    assert [float(row["gradcore/skipped"]) for row in table] == [
        float(step in loops.SKIPPED) for step in range(loops.STEPS)
    ]
    assert float(table[-1]["gradcore/total/skipped"]) == 2.0


def test_a_guard_goes_on_from_a_checkpoint(tmp_path):
    options = {"clip": "ema", "nonfinite": "skip"}
    batches = loops.batches()
    whole, at_once = Model(), GuardCallback(**options)
    saving = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=6, save_top_k=-1)
    trainer([at_once, saving], enable_checkpointing=True).fit(whole, loader(batches))

    rest, resumed = Model(), GuardCallback(**options)
    rest.stepped = rest.batches = 6
    first = tmp_path / "epoch=0-step=6.ckpt"
    left = batches[6:] * 2  # Lightning counts to twelve, yet begins at the first of a plain loader
    trainer(resumed).fit(rest, loader(left), ckpt_path=first)
    assert rest.stepped == loops.STEPS
    assert same(rest, whole.net)
    assert resumed.guards[0].steps == loops.STEPS
    ours, theirs = (callback.guards[0].state_dict() for callback in (resumed, at_once))
    assert training.freeze(ours["clip"]) == training.freeze(theirs["clip"])
    assert training.freeze(ours["history"]) == training.freeze(theirs["history"])
