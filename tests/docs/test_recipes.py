"""docs/recipes.md: what cannot be run as a script is run on two ranks, or in a real trainer."""

from __future__ import annotations

import re
from pathlib import Path

import accelerate
import lightning.pytorch as pl
import pytest
import torch
import transformers
from torch import nn

import gradcore
import processes
import training
from gradcore.integrations import accelerate as for_accelerate
from gradcore.integrations import lightning as for_lightning
from gradcore.integrations import transformers as for_transformers

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
EXCERPTS: list[str] = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

SHARDED, FRAMEWORKS = EXCERPTS


def batches():
    """Four, of which the third is broken."""
    made = list(torch.randn(4, 8, 4))
    made[2][3, 1] = torch.nan
    return made


RANKS = """
import gradcore
batches = list(torch.randn(4, 8, 4))
if rank == 1:
    batches[2][3, 1] = torch.nan
"""

OUTCOME = """
result = [[report.skipped for report in guard.history], [r.norm for r in guard.history],
    all(p.to_local().isfinite().all().item() for p in model.parameters())]
"""


@pytest.mark.distributed
def test_the_loop_of_fsdp2_on_two_ranks(tmp_path):
    first, second = processes.both(RANKS + SHARDED + OUTCOME, tmp_path)

    assert first[0] == second[0] == [False, False, True, False]
    assert [first[1][i] for i in (0, 1, 3)] == [second[1][i] for i in (0, 1, 3)]
    assert first[2]
    assert second[2]


def line_of(framework):
    """That of the last excerpt which is about this one."""
    return next(line for line in FRAMEWORKS.splitlines() if line.endswith(f".{framework}"))


class OfLightning(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 1)

    def training_step(self, batch):
        return self.net(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


class OfTransformers(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 1)

    def forward(self, batch):
        return {"loss": self.net(batch).square().mean()}


@pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning")
def test_the_line_for_lightning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"pl": pl, "GuardCallback": for_lightning.GuardCallback}
    exec(line_of("lightning"), names)  # noqa: S102 - ours
    trainer, module = names["trainer"], OfLightning()

    trainer.fit_loop.max_epochs = 1
    trainer.fit(module, torch.utils.data.DataLoader(batches(), batch_size=None))
    guard = next(c for c in trainer.callbacks if hasattr(c, "guards")).guards[0]
    assert [report.skipped for report in guard.history] == [False, False, True, False]
    assert training.finite(module.net)


@pytest.mark.filterwarnings("ignore::UserWarning")  # advice about loaders
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own dependencies
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_line_for_transformers(tmp_path):
    settings = transformers.TrainingArguments(
        tmp_path,
        use_cpu=True,
        num_train_epochs=1,
        per_device_train_batch_size=8,
        report_to=[],
        remove_unused_columns=False,
        save_strategy="no",
    )
    rows = [{"batch": row} for batch in batches() for row in batch]
    model = OfTransformers()
    trainer = transformers.Trainer(model, settings, train_dataset=rows)
    exec(  # noqa: S102 - ours
        line_of("transformers"),
        {"trainer": trainer, "GuardCallback": for_transformers.GuardCallback},
    )

    trainer.train()
    guard = next(c for c in trainer.callback_handler.callbacks if hasattr(c, "guard")).guard
    assert sum(report.skipped for report in guard.history) == 1
    assert training.finite(model)


def test_the_line_for_accelerate():
    accelerator = accelerate.Accelerator(cpu=True)
    net = nn.Linear(4, 1)
    net, optimizer = accelerator.prepare(net, torch.optim.AdamW(net.parameters(), lr=0.01))
    guard = gradcore.Guard(net, max_norm=1.0)
    for batch in batches():
        optimizer.zero_grad()
        loss = net(batch).square().mean()
        accelerator.backward(loss)
        names = {"accelerator": accelerator, "guard": guard, "optimizer": optimizer, "loss": loss}
        exec(line_of("accelerate"), {"step": for_accelerate.step, **names})  # noqa: S102 - ours

    assert [report.skipped for report in guard.history] == [False, False, True, False]
    assert training.finite(net)
