"""A model with parameters on the host and on the device, under a scaler."""

from __future__ import annotations

import pytest
import torch
from stepping import FUSED, INF, PLAIN
from torch import nn
from torch.amp import GradScaler

import gradcore

SCALE = 1024.0


class Split:
    """Two parameters of two elements, one on either device, and a scaler at 1024."""

    def __init__(self, optimizer, device):
        self.parameters = [nn.Parameter(torch.zeros(2, device=place)) for place in ("cpu", device)]
        self.optimizer = optimizer(self.parameters)
        self.scaler = GradScaler("cpu", init_scale=SCALE)
        self.scaler.scale(torch.ones((), device="cpu"))
        self.guard = gradcore.Guard(self.parameters, max_norm=1.0)

    def step(self, *firsts):
        for parameter, first in zip(self.parameters, firsts, strict=True):
            parameter.grad = torch.tensor([first, 1.0], device=parameter.device) * SCALE
        report = self.guard.step(self.optimizer, scaler=self.scaler)
        flags = self.scaler._found_inf_per_device(self.optimizer).values()  # noqa: SLF001 - the fact
        return report, [float(flag) for flag in flags]

    def held(self):
        state = self.optimizer.state_dict()["state"]
        steps = {float(each["step"]) for each in state.values() if "step" in each}
        return [parameter.tolist() for parameter in self.parameters], steps


@pytest.mark.parametrize(
    "optimizer",
    [FUSED["AdamW"], FUSED["SGD"], PLAIN["RMSprop"]],
    ids=["fused AdamW", "fused SGD", "RMSprop"],
)
def test_infinities_on_both_are_one_to_the_scaler_and_to_the_optimizer(optimizer, device):
    """Two flags that are added up are 2, by which torch's fused optimizers step."""
    split, sound = Split(optimizer, device), Split(optimizer, device)
    for run in (split, sound):
        run.step(3.0, 4.0)
        run.scaler.update()
    report, flags = split.step(INF, INF)

    assert (report.skipped, report.nonfinite.posinf) == (True, 2)
    assert flags == [1.0]
    split.scaler.update()
    assert split.scaler.get_scale() == SCALE / 2
    assert split.held() == sound.held()
