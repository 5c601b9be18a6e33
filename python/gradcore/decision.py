"""What policy and strategy want, put together into one decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from gradcore.after_policy import after_policy
from gradcore.errors import PluginError
from gradcore.plan import Bound, Clamp, Keep, Propagate, Repair, Replace, Restore, Scale, Skip, Stop

if TYPE_CHECKING:
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
    restore: Tensor | None = None
    """0-d bool, and where it is true ``skip`` is; None for never."""
    shrink: Tensor | None = None
    """Factors of a policy beside a bound of the strategy that has none."""

    @property
    def factors(self) -> Tensor | None:
        """What gradients are multiplied by, before any limit: as in `Scale`; None for nothing."""
        return self.bound.factors if isinstance(self.bound, Scale) else self.shrink


def decide(
    statistics: Statistics, policy: NonfinitePolicy, strategy: ClipStrategy | None
) -> Decision:
    """Ask both, policy first; the strategy sees the gradients as the policy leaves them.

    Raises:
        PluginError: One returned what is no plan, or not its to ask for: a strategy a repair,
            or `Restore`, either two bounds, a policy `Replace` without having said so in
            ``replacement``, or `Restore` without ``snapshot_every``.
    """
    decided = _read(policy(statistics), policy, statistics)
    if isinstance(decided.repair, Replace):
        promised = getattr(policy, "replacement", None)
        if promised != decided.repair:
            raise PluginError(
                f"The policy {policy.name!r} returned {decided.repair} but its `replacement` is "
                f"{promised}. Say beforehand what it will replace with: norms are measured with it."
            )
    if decided.restore is not None and getattr(policy, "snapshot_every", None) is None:
        raise PluginError(
            f"The policy {policy.name!r} returned Restore but has no `snapshot_every`. Say how "
            "many trusted steps lie between snapshots: without it none is taken."
        )
    if strategy is None:
        return decided
    statistics = after_policy(statistics, decided.repair, decided.bound)
    for ends in (decided.skip, decided.stop):
        if ends is not None:
            statistics = replace(statistics, trusted=statistics.trusted & ~ends)
    asked = _read(strategy(statistics), strategy, statistics)
    if not isinstance(asked.repair, Propagate):
        raise PluginError(
            f"The strategy {strategy.name!r} returned {asked.repair}: what becomes of non-finite "
            "elements is for policies to say."
        )
    if asked.restore is not None:
        raise PluginError(
            f"The strategy {strategy.name!r} returned Restore: going back is for policies to ask."
        )
    both = Decision(
        asked.bound,
        decided.repair,
        _either(decided.skip, asked.skip),
        _either(decided.stop, asked.stop),
        decided.restore,
    )
    if isinstance(decided.bound, Scale) and isinstance(asked.bound, Clamp):
        both.shrink = decided.bound.factors
    else:
        both.bound = _both(decided.bound, asked.bound, policy, strategy)
    return both


def _read(plan: Plan, source: ClipStrategy | NonfinitePolicy, statistics: Statistics) -> Decision:
    """One plan as a decision of its own."""
    read = Decision(Keep(), Propagate(), None, None)
    verbs = plan if isinstance(plan, tuple) else (plan,)
    for verb in verbs:
        if isinstance(verb, BOUNDS):
            read.bound = verb
        elif isinstance(verb, REPAIRS):
            read.repair = verb
        elif isinstance(verb, Skip):
            read.skip = _either(read.skip, verb.when)
        elif isinstance(verb, Stop):
            read.stop = _either(read.stop, verb.when)
        elif isinstance(verb, Restore):
            read.restore = _either(read.restore, verb.when)
            read.skip = _either(read.skip, verb.when)
        else:
            raise PluginError(f"{source.name!r} returned {verb!r}, which is no verb of a plan.")
    for kind in (BOUNDS, REPAIRS):
        if sum(isinstance(verb, kind) for verb in verbs) > 1:
            raise PluginError(f"{source.name!r} returned several bounds or repairs: {plan!r}.")
    if isinstance(read.bound, Scale):
        _require_shape(read.bound.factors, source, statistics.table.shape[1] - 1)
    return read


def _require_shape(factors: object, source: ClipStrategy | NonfinitePolicy, n: int) -> None:
    if not isinstance(factors, Tensor) or tuple(factors.shape) not in {(), (n,)}:
        raise PluginError(
            f"{source.name!r} returned Scale({factors!r}): factors are a tensor, 0-d or one for "
            f"each of the {n} parameters."
        )


def _both(one: Bound, other: Bound, policy: NonfinitePolicy, strategy: ClipStrategy) -> Bound:
    if isinstance(one, Keep):
        return other
    if isinstance(other, Keep):
        return one
    if isinstance(one, Scale) and isinstance(other, Scale):
        return Scale(one.factors * other.factors)
    raise PluginError(
        f"The policy {policy.name!r} returned {one} and the strategy {strategy.name!r} {other}: "
        "a policy can only add factors, to factors or to a limit."
    )


def _either(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return torch.logical_or(one, other)
