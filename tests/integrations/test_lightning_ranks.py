"""Lightning on two ranks: FSDP2 by its own strategy, and DDP, come to what one process does."""

from __future__ import annotations

import csv

import pytest

import launched
import rank_loops as loops

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(150)]

PROGRAM = """
import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch.distributed.fsdp import fully_shard

import rank_loops as loops
import training
from gradcore.integrations.lightning import GuardCallback

kind, accumulate = sys.argv[2], int(sys.argv[3])

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = training.model()

    def configure_model(self):
        if kind.startswith("fsdp2"):
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def training_step(self, batch):
        return loops.loss_of(self.net, batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=loops.RATE)

scaler = torch.amp.GradScaler("cpu", init_scale=loops.SCALE)
options = {
    "fsdp2": {"strategy": ModelParallelStrategy(2, 1)},
    "fsdp2 bf16-mixed": {"strategy": ModelParallelStrategy(2, 1), "precision": "bf16-mixed"},
    "ddp 16-mixed": {
        "strategy": DDPStrategy(process_group_backend="gloo"),
        "plugins": [MixedPrecision("16-mixed", "cpu", scaler)],
    },
}[kind]
guard = GuardCallback(max_norm=loops.MAX_NORM)
module = Module()
trainer = pl.Trainer(
    accelerator="cpu",
    devices=2,
    max_epochs=1,
    callbacks=[guard],
    use_distributed_sampler=False,
    logger=CSVLogger(folder, version=0),
    log_every_n_steps=1,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    accumulate_grad_batches=accumulate,
    **options,
)
data = [loops.half(batch, rank) for batch in loops.batches(accumulate)]
trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
history = guard.guards[0].history
scales = [report.loss_scale for report in history]
kinds = sorted({type(parameter).__name__ for parameter in module.net.parameters()})
bad = history[loops.SKIPPED[0]].nonfinite_ranks
result = [loops.told(history), loops.elements(module.net), scales, kinds, bad]
"""


def logged(folder):
    """The norms in the file of the trainer's own logger."""
    with (folder / "lightning_logs/version_0/metrics.csv").open(encoding="utf-8") as file:
        rows = [row["gradcore/norm"] for row in csv.DictReader(file)]
    return [float(norm) for norm in rows if norm]


@pytest.mark.parametrize(
    ("kind", "accumulate", "error"), [("fsdp2", 2, 1e-5), ("fsdp2 bf16-mixed", 1, 2e-2)]
)
def test_fsdp2_clips_and_skips_as_one_process_does(kind, accumulate, error, tmp_path):
    first, second = launched.two_ranks(PROGRAM, tmp_path, kind, accumulate)

    assert first == second
    steps, elements, _, kinds, ranks = first
    assert kinds == ["DTensor"]
    net, guard = loops.plain(accumulate)
    loops.check(steps, guard.history, error)
    assert elements == pytest.approx(loops.elements(net), rel=error, abs=error)
    assert ranks == "0, 1"  # the mean over ranks is NaN in what each has of it
    assert logged(tmp_path) == pytest.approx([norm for norm, *_ in steps], rel=1e-6)


def test_ddp_in_float16_backs_off_on_both_ranks_as_one_process_does(tmp_path):
    first, second = launched.two_ranks(PROGRAM, tmp_path, "ddp 16-mixed", 2)

    assert first == second
    steps, elements, scales, *_ = first
    net, guard = loops.plain(2, half_precision=True)
    loops.check(steps, guard.history, 1e-2)
    assert elements == pytest.approx(loops.elements(net), abs=2e-3)
    assert scales == [report.loss_scale for report in guard.history]
    assert scales[-1] < scales[0]
    assert logged(tmp_path) == pytest.approx([norm for norm, *_ in steps], rel=1e-6)
