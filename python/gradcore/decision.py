"""What policy and strategy want, put together into one decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from gradcore.after_policy import after_policy
from gradcore.errors import PluginError
from gradcore.plan import (
    Bound,
    Clamp,
    Keep,
    Propagate,
    Repair,
    Replace,
    Restore,
    Scale,
    ScaleUnits,
    Skip,
    Stop,
)

if TYPE_CHECKING:
    from gradcore.plan import Plan
    from gradcore.protocols import ClipStrategy, NonfinitePolicy
    from gradcore.statistics import Statistics
    from gradcore.units import Units

BOUNDS = get_args(Bound)
REPAIRS = get_args(Repair)
KEEP, PROPAGATE = Keep(), Propagate()


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
        """What gradients are multiplied by, before any limit: as in the bound; None for nothing."""
        return self.bound.factors if isinstance(self.bound, (Scale, ScaleUnits)) else self.shrink


def decide(
    statistics: Statistics, policy: NonfinitePolicy, strategy: ClipStrategy | None
) -> Decision:
    """Ask both, policy first; the strategy sees the gradients as the policy leaves them.

    Raises:
        PluginError: One returned what is no plan, or not its to ask for: a strategy a repair,
            or `Restore`, either two bounds, a policy `ScaleUnits`, `Replace` without having said so
            in ``replacement``, or `Restore` without ``snapshot_every``.
    """
    decided = _of_policy(policy, statistics)
    if strategy is None:
        return decided
    statistics = after_policy(statistics, decided.repair, decided.bound)
    for ends in (decided.skip, decided.stop):
        if ends is not None and not (ends.is_cpu and not ends):  # on a device nobody knows yet
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
    decided.skip = _either(decided.skip, asked.skip)
    decided.stop = _either(decided.stop, asked.stop)
    if isinstance(decided.bound, Scale) and isinstance(asked.bound, Clamp):
        decided.shrink, decided.bound = decided.bound.factors, asked.bound
    else:
        decided.bound = _both(decided.bound, asked.bound, policy, strategy, statistics.per_unit)
    return decided


def _of_policy(policy: NonfinitePolicy, statistics: Statistics) -> Decision:
    """What a policy asks for, if it has said beforehand what has to be known beforehand."""
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
    if isinstance(decided.bound, ScaleUnits):
        raise PluginError(
            f"The policy {policy.name!r} returned ScaleUnits: factors for units are for strategies "
            "to give. Norms of units do not tell what a policy's would leave of other statistics."
        )
    return decided


def _read(plan: Plan, source: ClipStrategy | NonfinitePolicy, statistics: Statistics) -> Decision:
    """One plan as a decision of its own."""
    read = Decision(KEEP, PROPAGATE, None, None)
    bounds = repairs = 0
    for verb in plan if isinstance(plan, tuple) else (plan,):
        if isinstance(verb, BOUNDS):
            read.bound = verb
            bounds += 1
        elif isinstance(verb, REPAIRS):
            read.repair = verb
            repairs += 1
        elif isinstance(verb, Skip):
            read.skip = _either(read.skip, verb.when)
        elif isinstance(verb, Stop):
            read.stop = _either(read.stop, verb.when)
        elif isinstance(verb, Restore):
            read.restore = _either(read.restore, verb.when)
            read.skip = _either(read.skip, verb.when)
        else:
            raise PluginError(f"{source.name!r} returned {verb!r}, which is no verb of a plan.")
    if bounds > 1 or repairs > 1:
        raise PluginError(f"{source.name!r} returned several bounds or repairs: {plan!r}.")
    _require_fitting(read.bound, source, statistics)
    return read


def _require_fitting(
    bound: Bound, source: ClipStrategy | NonfinitePolicy, statistics: Statistics
) -> None:
    """Raise unless factors are as many as there are parameters, or units."""
    if not isinstance(bound, (Scale, ScaleUnits)):
        return
    factors: object = bound.factors
    if isinstance(bound, Scale) and isinstance(factors, Tensor) and not factors.ndim:
        return
    n = statistics.table.shape[1] - 1
    shapes, whose = {(), (n,)}, f"0-d or one for each of the {n} parameters"
    if isinstance(bound, ScaleUnits):
        if "unit_l2" not in statistics.measured:
            raise PluginError(
                f"{source.name!r} returned ScaleUnits without having looked at the units: add "
                "'unit_l2' to its `needs`."
            )
        units = statistics.unit_l2.shape[0]
        shapes, whose = {(units,)}, f"one for each of the {units} units"
    if not isinstance(factors, Tensor) or tuple(factors.shape) not in shapes:
        got = f"shape {list(factors.shape)}" if isinstance(factors, Tensor) else repr(factors)
        raise PluginError(
            f"{source.name!r} returned {type(bound).__name__} with factors {got}: they are a "
            f"tensor, {whose}."
        )


def _both(
    one: Bound,
    other: Bound,
    policy: NonfinitePolicy,
    strategy: ClipStrategy,
    units: Units | None,
) -> Bound:
    if isinstance(one, Keep):
        return other
    if isinstance(other, Keep):
        return one
    if isinstance(one, Scale) and isinstance(other, Scale):
        return Scale(one.factors * other.factors)
    if isinstance(one, Scale) and isinstance(other, ScaleUnits) and units is not None:
        spread = units.spread(one.factors) if one.factors.ndim else one.factors
        return ScaleUnits(spread * other.factors)
    raise PluginError(
        f"The policy {policy.name!r} returned {one} and the strategy {strategy.name!r} {other}: "
        "a policy can only add factors, to factors or to a limit."
    )


def _either(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return torch.logical_or(one, other)
