"""Lightning on two ranks: FSDP2 by its own strategy, and DDP, come to what one process does."""

from __future__ import annotations

import csv
import json

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

class Module(pl.LightningModule):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.net = kind, training.model()

    def configure_model(self):
        if self.kind.startswith("fsdp2"):
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def training_step(self, batch):
        return loops.loss_of(self.net, batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=loops.RATE)

def options_of(kind):
    if kind == "fsdp2":
        return {"strategy": ModelParallelStrategy(2, 1)}
    if kind == "fsdp2 bf16-mixed":
        return {"strategy": ModelParallelStrategy(2, 1), "precision": "bf16-mixed"}
    scaler = torch.amp.GradScaler("cpu", init_scale=loops.SCALE)
    return {
        "strategy": DDPStrategy(process_group_backend="gloo"),
        "plugins": [MixedPrecision("16-mixed", "cpu", scaler)],
    }

def train(kind, accumulate):
    guard = GuardCallback(max_norm=loops.MAX_NORM)
    module = Module(kind)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        max_epochs=1,
        callbacks=[guard],
        use_distributed_sampler=False,
        logger=CSVLogger(folder, name=kind, version=0),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=accumulate,
        **options_of(kind),
    )
    data = [loops.half(batch, rank) for batch in loops.batches(accumulate)]
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    history = guard.guards[0].history
    scales = [report.loss_scale for report in history]
    kinds = sorted({type(parameter).__name__ for parameter in module.net.parameters()})
    bad = history[loops.SKIPPED[0]].nonfinite_ranks
    return [loops.told(history), loops.elements(module.net), scales, kinds, bad]

result = {kind: train(kind, accumulate) for kind, accumulate in json.loads(sys.argv[2]).items()}
"""

ACCUMULATE = {"fsdp2": 2, "fsdp2 bf16-mixed": 1, "ddp 16-mixed": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of logs, and what each rank says of each kind, all in the same two processes."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, launched.two_ranks(PROGRAM, folder, json.dumps(ACCUMULATE))


def logged(folder, kind):
    """The norms in the file of the trainer's own logger."""
    with (folder / kind / "version_0/metrics.csv").open(encoding="utf-8") as file:
        rows = [row["gradcore/norm"] for row in csv.DictReader(file)]
    return [float(norm) for norm in rows if norm]


@pytest.mark.parametrize(("kind", "error"), [("fsdp2", 1e-5), ("fsdp2 bf16-mixed", 2e-2)])
def test_fsdp2_clips_and_skips_as_one_process_does(kind, error, trained):
    folder, ranks = trained
    first, second = (rank[kind] for rank in ranks)

    assert first == second
    steps, elements, _, kinds, bad = first
    assert kinds == ["DTensor"]
    net, guard = loops.plain(ACCUMULATE[kind])
    loops.check(steps, guard.history, error)
    assert elements == pytest.approx(loops.elements(net), rel=error, abs=error)
    assert bad == "0, 1"  # the mean over ranks is NaN in what each has of it
    assert logged(folder, kind) == pytest.approx([norm for norm, *_ in steps], rel=1e-6)


def test_ddp_in_float16_backs_off_on_both_ranks_as_one_process_does(trained):
    folder, ranks = trained
    first, second = (rank["ddp 16-mixed"] for rank in ranks)

    assert first == second
    steps, elements, scales, *_ = first
    net, guard = loops.plain(2, half_precision=True)
    loops.check(steps, guard.history, 1e-2)
    assert elements == pytest.approx(loops.elements(net), abs=2e-3)
    assert scales == [report.loss_scale for report in guard.history]
    assert scales[-1] < scales[0]
    assert logged(folder, "ddp 16-mixed") == pytest.approx([n for n, *_ in steps], rel=1e-6)
