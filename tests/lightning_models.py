"""The model of `framework_loops` as a Lightning module, and a quiet Trainer for it."""

from __future__ import annotations

import lightning.pytorch as pl
import torch

import framework_loops as loops
import training


class Model(pl.LightningModule):
    """The model of the plain loop, with the same faults; remembers its state around each step."""

    def __init__(self, accumulate: int = 1) -> None:
        super().__init__()
        self.net = training.model()
        self.accumulate = accumulate
        self.batches = self.stepped = 0
        self.frozen: list[object] = []

    def training_step(self, batch):
        return loops.loss_of(self.net, batch)

    def on_after_backward(self):
        self.batches += 1
        if self.batches % self.accumulate == 0:
            self.frozen.append(training.state(self.net, self.trainer.optimizers[0]))
            loops.plant(self.net, self.stepped)
            self.stepped += 1

    def configure_optimizers(self):
        return torch.optim.AdamW(self.net.parameters(), lr=0.05)


def trainer(callback, package=pl, **options):
    settings = {"accelerator": "cpu", "max_epochs": 1, "logger": False, **options}
    settings.setdefault("enable_checkpointing", False)
    return package.Trainer(
        callbacks=callback if isinstance(callback, list) else [callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def loader(batches):
    return torch.utils.data.DataLoader(batches, batch_size=None)


def same(module, net):
    return training.freeze(list(module.net.parameters())) == training.freeze(list(net.parameters()))
