"""What policy and strategy want, put together into one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch

from gradcore.errors import PluginError
from gradcore.plan import Bound, Keep, Propagate, Repair, Replace, Skip, Stop

if TYPE_CHECKING:
    from torch import Tensor

    from gradcore.plan import Plan
    from gradcore.protocols import ClipStrategy, NonfinitePolicy
    from gradcore.statistics import Statistics

BOUNDS = get_args(Bound)
REPAIRS = get_args(Repair)


@dataclass(slots=True)
class Decision:
    """Everything that is to be done in one step."""

    bound: Bound
    repair: Repair
    skip: Tensor | None
    """0-d bool; None for never."""
    stop: Tensor | None
    """0-d bool; None for never."""


def decide(
    statistics: Statistics, policy: NonfinitePolicy, strategy: ClipStrategy | None
) -> Decision:
    """Ask both, policy first.

    Raises:
        PluginError: One returned what is no plan, two bounds or two repairs, or `Replace` without
            having said so in ``replacement``.
    """
    decision = Decision(Keep(), Propagate(), None, None)
    _take(decision, policy(statistics), policy)
    if strategy is not None:
        _take(decision, strategy(statistics), strategy)
    if isinstance(decision.repair, Replace):
        promised = getattr(policy, "replacement", None)
        if promised != decision.repair:
            raise PluginError(
                f"The policy {policy.name!r} returned {decision.repair} but its `replacement` is "
                f"{promised}. Say beforehand what it will replace with: norms are measured with it."
            )
    return decision


def _take(decision: Decision, plan: Plan, source: ClipStrategy | NonfinitePolicy) -> None:
    bounds = repairs = 0
    for verb in plan if isinstance(plan, tuple) else (plan,):
        if isinstance(verb, BOUNDS):
            decision.bound = verb
            bounds += 1
        elif isinstance(verb, REPAIRS):
            decision.repair = verb
            repairs += 1
        elif isinstance(verb, Skip):
            decision.skip = _either(decision.skip, verb.when)
        elif isinstance(verb, Stop):
            decision.stop = _either(decision.stop, verb.when)
        else:
            raise PluginError(f"{source.name!r} returned {verb!r}, which is no verb of a plan.")
    if bounds > 1 or repairs > 1:
        raise PluginError(f"{source.name!r} returned several bounds or repairs: {plan!r}.")


def _either(one: Tensor | None, other: Tensor) -> Tensor:
    return other if one is None else torch.logical_or(one, other)
