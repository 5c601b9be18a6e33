"""Several optimizers, mixed precision, sinks and refusals of the guard in a Lightning Trainer."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

import framework_loops as loops
import gradcore
import training
from gradcore.integrations.lightning import GuardCallback
from gradcore.strategies import Ema
from lightning_models import Model, loader, trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # advice about workers and loggers
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Gan(pl.LightningModule):
    """Two optimizers, stepped by hand; the first one's gradients go bad once."""

    automatic_optimization = False

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = training.model(), training.model()
        self.losses: list[float] = []

    def configure_optimizers(self):
        return [torch.optim.SGD(net.parameters(), lr=0.1) for net in (self.generator, self.critic)]

    def training_step(self, batch, index):
        nets = (self.generator, self.critic)
        for net, optimizer in zip(nets, self.optimizers(), strict=True):
            optimizer.zero_grad()
            loss = loops.loss_of(net, batch)
            self.manual_backward(loss)
            if index == 1 and net is self.generator:
                training.plant(net[2].weight)
            before = training.freeze(list(net.parameters()))
            optimizer.step()
            still = before == training.freeze(list(net.parameters()))
            assert still == (index == 1 and net is self.generator)
            self.losses.append(loss.item())


def test_every_optimizer_of_a_manual_loop_has_a_guard():
    module, callback = Gan(), GuardCallback(clip=Ema())
    fit = trainer(callback, logger=False)
    fit.fit(module, loader(loops.batches(4)))

    generator, critic = callback.guards
    assert generator.names == tuple(
        f"generator.{name}" for name in ("0.weight", "0.bias", "2.weight")
    )
    assert [r.skipped for r in generator.history] == [False, True, False, False]
    assert generator.history[1].first_nonfinite == "generator.2.weight"
    assert not any(report.skipped for report in critic.history)
    assert [r.loss for r in generator.history] == pytest.approx(module.losses[::2])
    assert [r.loss for r in critic.history] == pytest.approx(module.losses[1::2])
    assert generator.clip is not critic.clip
    assert fit.logged_metrics["gradcore/0/total/skipped"] == 1.0
    assert fit.logged_metrics["gradcore/1/total/skipped"] == 0.0


class Fused(Model):
    """Unscales within its step, where Lightning's own clipping is refused."""

    def configure_optimizers(self):
        return torch.optim.AdamW(self.net.parameters(), lr=0.05, fused=True)


@pytest.mark.parametrize("kind", [Model, Fused])
@pytest.mark.parametrize("policy", ["skip", "zero"])
def test_mixed_precision_is_unscaled_before_it_is_looked_at(kind, policy):
    """What the scaler does not step is told as a skip, also where the policy would repair."""
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    module, callback = kind(), GuardCallback(nonfinite=policy, **loops.OPTIONS)
    precision = MixedPrecision("16-mixed", "cpu", scaler)
    trainer(callback, plugins=[precision]).fit(module, loader(loops.batches()))

    history = callback.guards[0].history
    assert [report.step for report in history if report.skipped] == loops.SKIPPED
    assert [history[step].loss_scale for step in (0, 3, 11)] == [256.0, 128.0, 64.0]
    _, _, guard = loops.plain([[batch] for batch in loops.batches()])
    assert history[0].norm == pytest.approx(guard.history[0].norm, rel=1e-2)
    assert history[0].loss == pytest.approx(guard.history[0].loss, rel=1e-2)
    kept = [i for i in range(loops.STEPS - 1) if module.frozen[i] == module.frozen[i + 1]]
    assert kept == loops.SKIPPED


def test_clipping_twice_is_refused():
    with pytest.raises(ValueError, match=r"gradient_clip_val=1.0"):
        trainer(GuardCallback(max_norm=1.0), gradient_clip_val=1.0).fit(
            Model(), loader(loops.batches(1))
        )


def test_an_unknown_option_is_named_at_once():
    with pytest.raises(ValueError, match="max_norn"):
        GuardCallback(max_norn=1.0)


def test_one_sink_for_several_optimizers_is_refused():
    with pytest.raises(ValueError, match="2"):
        trainer(GuardCallback(sinks=["log"])).fit(Gan(), loader(loops.batches(1)))


@pytest.mark.parametrize("broken", [False, True])
def test_sinks_are_closed_however_training_ends(broken):
    seen = training.Seen()
    callback = GuardCallback(sinks=[seen], nonfinite="raise" if broken else "skip")
    fit = trainer(callback)
    if broken:
        with pytest.raises(gradcore.NonfiniteGradientError, match=r"net\.2\.weight"):
            fit.fit(Model(), loader(loops.batches()))
    else:
        fit.fit(Model(), loader(loops.batches()))

    assert seen.closed == 1
    assert len(seen.reports) == (loops.SKIPPED[0] + 1 if broken else loops.STEPS)
