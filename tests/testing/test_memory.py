"""Memory that cannot be trusted or saved is refused; memory as it should be passes."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import nn

from gradcore import Keep, Scale
from gradcore.testing import ConformanceError, check_strategy


class Average(nn.Module):
    """Scale down to twice the running mean of the norm, as it should be done."""

    name = "average"

    def __init__(self, keep=0.9):
        super().__init__()
        if not 0.0 <= keep < 1.0:
            raise ValueError(f"keep must lie in [0, 1); got {keep}.")
        self.keep = keep
        self.register_buffer("mean", torch.tensor(math.nan, dtype=torch.float64))

    def forward(self, statistics):
        bound = torch.where(self.mean.isnan(), math.inf, 2.0 * self.mean)
        self.mean = torch.where(self.may_learn(statistics), self.learned(statistics), self.mean)
        return Scale((bound / statistics.norm).nan_to_num(nan=1.0).clamp(max=1.0))

    def learned(self, statistics):
        later = self.keep * self.mean + (1.0 - self.keep) * statistics.norm
        return torch.where(self.mean.isnan(), statistics.norm, later)

    def may_learn(self, statistics):
        return statistics.learnable


class OfEach(Average):
    """Scale each gradient down to twice the running mean of its own norm."""

    def bind(self, names):
        self.register_buffer("mean", torch.full((len(names),), math.nan, dtype=torch.float64))

    def forward(self, statistics):
        bound = torch.where(self.mean.isnan(), math.inf, 2.0 * self.mean)
        learned = torch.where(self.mean.isnan(), statistics.l2, 0.5 * (self.mean + statistics.l2))
        may_learn = statistics.learnable & (statistics.l2 > 0)
        self.mean = torch.where(may_learn, learned, self.mean)
        return Scale((bound / statistics.l2).nan_to_num(nan=1.0).clamp(max=1.0))


class OfTheFirst(OfEach):
    """Make room for the parameters of the first step, once and for all."""

    def bind(self, names):
        if self.mean.dim() == 0:
            super().bind(names)


class Poisoned(Average):
    """Learn from every step."""

    def may_learn(self, statistics):
        return (statistics.norm > 0) & statistics.norm.isfinite()


class LearnsInfinity(Average):
    """Learn from every step that can be trusted, whatever its norm."""

    def may_learn(self, statistics):
        return statistics.trusted & (statistics.norm > 0)


class Forgetful(Average):
    """Keep the mean where no state_dict sees it."""

    def __init__(self, keep=0.9):
        super().__init__(keep)
        del self.mean
        self.mean = torch.tensor(math.nan, dtype=torch.float64)


class Unsaved(Average):
    """Keep the mean in a buffer that is not saved."""

    def __init__(self, keep=0.9):
        super().__init__(keep)
        self.register_buffer("mean", self.mean, persistent=False)


class Rounded(Average):
    """Save the mean with fewer digits than it has."""

    def state_dict(self, *args, **kwargs):
        return {name: value.float() for name, value in super().state_dict().items()}


class Counting(Average):
    """Count steps in Python, and warm up by the count."""

    def __init__(self, keep=0.9):
        super().__init__(keep)
        self.steps = 0

    def forward(self, statistics):
        plan = super().forward(statistics)
        self.steps += 1
        return plan if self.steps > 5 else Keep()


class Pickled(Average):
    """Save an object of its own."""

    def get_extra_state(self):
        return random.Random(1)  # noqa: S311 - not for secrets

    def set_extra_state(self, state):
        pass


class Shared(Average):
    """Keep the mean in the class, so that all instances share it."""

    seen: list = []  # noqa: RUF012 - that is what is wrong with it

    def forward(self, statistics):
        self.seen.append(statistics.norm)
        return Scale((2.0 * self.seen[-2:][0] / statistics.norm).nan_to_num(1.0).clamp(0.0, 1.0))


def test_memory_that_is_kept_as_it_should_be_passes():
    check_strategy(Average)
    check_strategy(Average, keep=0.5)
    check_strategy(OfEach)


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (Poisoned, "Memory learns only from steps that can be trusted.*Given a NaN in a gradient"),
        (LearnsInfinity, "Memory takes in finite norms only.*beyond float64"),
        (Forgetful, r"What it remembers is in its state_dict.*memory of 1 steps"),
        (Unsaved, r"What it remembers is in its state_dict"),
        (Rounded, r"goes on bit for bit"),
        (Counting, r"What it remembers is in its state_dict"),
        (Pickled, r"as tensors and plain values.*Weights only load failed"),
        (OfTheFirst, r"answers with a plan.*Given 1 parameters, and 4 before"),
        (Shared, r"nothing is shared between instances"),
    ],
)
def test_memory_that_is_not_is_refused(offered, words):
    with pytest.raises(ConformanceError, match=f"(?s){words}"):
        check_strategy(offered)


def test_the_rule_the_input_and_the_options_are_said():
    with pytest.raises(ConformanceError) as caught:
        check_strategy(Poisoned, keep=0.5)

    assert isinstance(caught.value, AssertionError)
    assert str(caught.value) == (
        "Clip strategy Poisoned breaks a rule: Memory learns only from steps that can be trusted: "
        "`Statistics.trusted` is false where gradients or loss are not finite. Given a NaN in a "
        "gradient, after 0 steps, and then ordinary gradients, step 10, made with {'keep': 0.5}: "
        "the decision is another than without."
    )
