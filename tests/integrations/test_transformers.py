"""A guard in the Trainer of Transformers acts before anything is clipped, as in a plain loop."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

import framework_loops as loops
import gradcore
import training
from gradcore.integrations.transformers import FILE, GuardCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # advice about loaders
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Model(nn.Module):
    """The model of the plain loop; a Trainer calls it by names and reads a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = training.model()

    def forward(self, batch):
        return {"loss": loops.loss_of(self.net, batch)}


class Faulty(transformers.Trainer):
    """Plants the faults, and remembers its state before each step."""

    accumulate = 1
    batches = stepped = 0

    def training_step(self, *arguments, **keywords):
        loss = super().training_step(*arguments, **keywords)
        self.batches += 1
        if self.batches % self.accumulate == 0:
            self.frozen = [*getattr(self, "frozen", []), training.state(self.model, self.optimizer)]
            loops.plant(self.model, self.stepped)
            self.stepped += 1
        return loss


def rows(batches):
    """Eight rows a batch, in order."""
    return [{"batch": row} for batch in batches for row in batch]


def trainer(tmp_path, batches, kind=Faulty, **settings):
    arguments = transformers.TrainingArguments(
        tmp_path,
        **{
            "use_cpu": True,
            "per_device_train_batch_size": 8,
            "num_train_epochs": 1,
            "learning_rate": 0.05,
            "weight_decay": 0.01,
            "adam_epsilon": 1e-8,
            "optim": "adamw_torch",
            "lr_scheduler_type": "constant",
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "remove_unused_columns": False,
            "train_sampling_strategy": "sequential",
            **settings,
        },
    )
    net = Model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    made = kind(
        model=net, args=arguments, train_dataset=rows(batches), optimizers=(optimizer, schedule)
    )
    made.accumulate = settings.get("gradient_accumulation_steps", 1)
    return made


def same(model, net):
    return training.freeze(list(model.parameters())) == training.freeze(list(net.parameters()))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_is_that_of_a_plain_loop_bit_for_bit(tmp_path, accumulate):
    batches = loops.batches(loops.STEPS * accumulate)
    run = trainer(tmp_path, batches, gradient_accumulation_steps=accumulate)
    callback = GuardCallback(**loops.OPTIONS).attach(run)
    run.train()

    steps = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    net, optimizer, guard = loops.plain(steps)
    assert same(run.model, net)
    assert training.freeze(run.optimizer.state_dict()["state"]) == training.freeze(
        optimizer.state_dict()["state"]
    )
    for ours, theirs in zip(callback.guard.history, guard.history, strict=True):
        assert (ours.norm, ours.clipped_norm, ours.scale) == (
            theirs.norm,
            theirs.clipped_norm,
            theirs.scale,
        )
        assert (ours.nonfinite, ours.skipped) == (theirs.nonfinite, theirs.skipped)
        assert ours.loss is None  # a callback is not told


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_a_skip_changes_no_bit_and_names_the_one_parameter(tmp_path, bound):
    """With or without a bound the Trainer's own call makes every gradient NaN."""
    run = trainer(tmp_path, loops.batches(), max_grad_norm=bound)
    callback = GuardCallback().attach(run)
    run.train()

    history = callback.guard.history
    assert [report.step for report in history if report.skipped] == loops.SKIPPED
    kept = [i for i in range(loops.STEPS - 1) if run.frozen[i] == run.frozen[i + 1]]
    assert kept == loops.SKIPPED
    assert [history[step].nonfinite.total for step in loops.SKIPPED] == [1, 2]
    assert history[loops.SKIPPED[0]].first_nonfinite == "net.2.weight"
    assert training.finite(run.model)


def test_without_a_guard_one_nan_is_the_end(tmp_path):
    """What all this is for: if it did not fail, the callback would be of no use."""
    run = trainer(tmp_path, loops.batches(), max_grad_norm=0.0)
    run.train()

    assert all(bool(torch.isnan(parameter).all()) for parameter in run.model.parameters())


@pytest.mark.parametrize(
    ("options", "bound"), [({}, 0.25), ({"max_norm": 0.5}, 0.5), ({"clip": "ema"}, None)]
)
def test_the_bound_of_the_arguments_holds_unless_another_is_given(tmp_path, options, bound):
    run = trainer(tmp_path, loops.batches(4), max_grad_norm=0.25)
    callback = GuardCallback(**options).attach(run)
    run.train()

    first = callback.guard.history[0]
    assert first.norm > 0.5
    assert first.clipped_norm == pytest.approx(first.norm if bound is None else bound, rel=1e-6)


def test_reports_join_the_logs_and_what_others_are_shown(tmp_path):
    class Watcher(transformers.TrainerCallback):
        def __init__(self):
            self.logs = []

        def on_log(self, args, state, control, logs, **others):
            self.logs.append(dict(logs))

    run = trainer(tmp_path, loops.batches(), logging_steps=4)
    watcher = Watcher()
    run.add_callback(watcher)
    callback = GuardCallback(**loops.OPTIONS).attach(run)
    run.train()

    history = callback.guard.history
    logged = [entry for entry in run.state.log_history if "loss" in entry]
    shown = [entry for entry in watcher.logs if "loss" in entry]
    for entries in (logged, shown):
        assert [entry["gradcore/norm"] for entry in entries] == [
            history[step].norm for step in (3, 7, 11)
        ]
        assert [entry["grad_norm"] for entry in entries] == [
            entry["gradcore/norm"] for entry in entries
        ]
        assert [entry["gradcore/total/skipped"] for entry in entries] == [1.0, 2.0, 2.0]
    assert "gradcore/norm" not in run.state.log_history[-1]  # the summary at the end


def test_a_guard_goes_on_from_a_checkpoint(tmp_path):
    batches = loops.batches()
    whole = trainer(tmp_path / "whole", batches, save_strategy="steps", save_steps=6)
    at_once = GuardCallback(clip="ema").attach(whole)
    whole.train()
    first = tmp_path / "whole/checkpoint-6"
    assert (first / FILE).exists()

    rest = trainer(tmp_path / "rest", batches)
    rest.stepped = rest.batches = 6
    resumed = GuardCallback(clip="ema").attach(rest)
    rest.train(resume_from_checkpoint=str(first))

    assert same(rest.model, whole.model)
    ours, theirs = (callback.guard.state_dict() for callback in (resumed, at_once))
    assert training.freeze(ours) == training.freeze(theirs)


def test_a_callback_that_is_not_attached_says_what_to_do(tmp_path):
    run = trainer(tmp_path, loops.batches(1))
    run.add_callback(GuardCallback())

    with pytest.raises(gradcore.GradcoreError, match=r"attach\(trainer\)"):
        run.train()


def test_a_second_trainer_is_refused(tmp_path):
    callback = GuardCallback().attach(trainer(tmp_path, loops.batches(1)))

    with pytest.raises(gradcore.GradcoreError, match="each Trainer"):
        callback.attach(trainer(tmp_path, loops.batches(1)))


def test_sinks_are_closed_and_the_trainer_clips_again_at_the_end(tmp_path):
    run = trainer(tmp_path, loops.batches(3))
    seen = training.Seen()
    GuardCallback(sinks=[seen]).attach(run)
    run.train()

    assert (len(seen.reports), seen.closed) == (3, 1)
    weight = run.model.net[2].weight
    weight.grad = torch.ones_like(weight)
    assert run.accelerator.clip_grad_norm_([weight], 1.0).item() == pytest.approx(6**0.5)
