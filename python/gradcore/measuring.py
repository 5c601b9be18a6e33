"""What a guard measures: the union of what everyone needs, and no more than that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import index
from typing import TYPE_CHECKING

from torch import Tensor

from gradcore import core
from gradcore.distributed.sharding import is_sharded, local_of
from gradcore.needs import needed, require_options
from gradcore.plan import Clamp, Propagate
from gradcore.statistics import OF_UNITS, ROWS
from gradcore.unscaling import scaled

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

    from gradcore.decision import Decision
    from gradcore.distributed.shards import Shards
    from gradcore.fetching import Fetched
    from gradcore.parameter_table import Table
    from gradcore.parameters import Parameters
    from gradcore.plan import Replace
    from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy, Sink
    from gradcore.statistics import Statistics


class Measuring:
    """Measures on behalf of a policy, a strategy, checks and sinks.

    Args:
        policy: Its ``needs``, ``overflow`` and ``replacement`` are minded.
        strategy: Its ``needs``, ``norm_type`` and ``unit_axis``.
        watchers: Checks and sinks, whose ``needs`` count on steps they look at.
        needs: What reports should hold beyond that.
        check_parameters: Parameters are measured too, and a non-finite one is not to be trusted.

    Raises:
        ValueError: A need is unknown, or two ask for norms ``lp`` of different order, or for units
            along different axes; or the order or ``overflow`` cannot be.
        TypeError: ``check_parameters`` is no bool.
    """

    def __init__(
        self,
        policy: NonfinitePolicy,
        strategy: ClipStrategy | None,
        watchers: Sequence[HealthCheck | Sink],
        needs: Iterable[str] | str,
        *,
        check_parameters: bool = False,
    ) -> None:
        if not isinstance(check_parameters, bool):
            raise TypeError(f"check_parameters must be True or False; got {check_parameters!r}.")
        deciders = [policy] if strategy is None else [policy, strategy]
        self._checks_parameters = check_parameters
        always = {"parameter_l2"} if check_parameters else set[str]()
        self._protecting = frozenset(always).union(*(_needs(part) for part in deciders))
        self.ever: frozenset[str] = self._protecting.union(
            needed(needs), *(_needs(w) for w in watchers)
        )
        everyone = (*deciders, *watchers)
        orders = {float(getattr(p, "norm_type", 2.0)) for p in everyone if "lp" in _needs(p)}
        if len(orders) > 1:
            raise ValueError(
                f"Norms of one order only can be measured; asked for {sorted(orders)}."
            )
        self.norm_type: float = orders.pop() if orders else 2.0
        axes = {index(getattr(p, "unit_axis", 0)) for p in everyone if _needs(p) & {*OF_UNITS}}
        if len(axes) > 1:
            raise ValueError(f"Units have one axis only; asked for {sorted(axes)}.")
        self.unit_axis: int = axes.pop() if axes else 0
        self.overflow: float = getattr(policy, "overflow", math.inf)
        self.replacement: Replace | None = getattr(policy, "replacement", None)
        require_options(self.ever, self.overflow, self.norm_type)

    def __call__(
        self,
        parameters: Parameters | Shards,
        loss: Tensor | float | None,
        *,
        looking: bool,
        factor: float = 1.0,
    ) -> Statistics:
        """One read of the gradients; trusted only if all else that is looked at is finite too.

        They are going to be multiplied by ``factor``, and are told as they are.
        """
        by = self.replacement
        try:
            statistics = core.measure_checked(
                parameters.tensors,
                self.ever if looking else self._protecting,
                overflow=self.overflow / factor,
                replacement=None if by is None else scaled(by, factor),
                norm_type=self.norm_type,
                unit_axis=self.unit_axis,
            )
        except TypeError as error:
            raise parameters.explain(error) from None
        if self._checks_parameters and statistics.parameters_table is not None:
            counts = statistics.parameters_table[2:5, -1].sum().to(statistics.trusted.device)
            statistics = replace(
                statistics,
                trusted=statistics.trusted & (counts == 0),
                measured=statistics.measured | {"parameter_nonfinite"},
            )
        if loss is None:
            return statistics
        if not isinstance(loss, (Tensor, float, int)):
            raise TypeError(f"loss must be a tensor of one number; got {loss!r}.")
        # Not as_tensor(loss), which makes a float32 of a Python number; and not tensor(loss), for
        # which the host would wait until it is on the device.
        table = statistics.table
        value = loss.detach() if isinstance(loss, Tensor) else table.new_full((), loss)
        if is_sharded(value):
            value = _here(value)
        if value.numel() != 1:
            raise ValueError(f"loss must be one number; got a tensor of shape {list(value.shape)}.")
        if value.is_complex():
            raise TypeError(f"loss must be real; got a tensor of {value.dtype}.")
        value = value.reshape(()).to(table, non_blocking=not table.is_cpu)
        return replace(statistics, trusted=statistics.trusted & value.isfinite(), loss=value)

    def knows_the_outcome(self, decision: Decision, host: Fetched) -> bool:
        """Whether the norm that a plan leaves follows from the one before.

        It does not where elements are clamped, nor where ones stay that are in no norm of a
        parameter, which have a factor each.
        """
        if isinstance(decision.bound, Clamp):
            largest = host.totals[ROWS.index("max_abs")]
            return largest <= decision.bound.limit and not any(host.totals[2:5])
        return not (host.factors.ndim and self.leaves_large(decision, host))

    def leaves_large(self, decision: Decision, host: Fetched) -> bool:
        """Whether elements beyond ``overflow`` may stay, which are in no norm of statistics."""
        return self.may_leave_large(decision) and any(host.totals[2:5])

    def may_leave_large(self, decision: Decision) -> bool:
        """The same where the statistics are not known yet."""
        return isinstance(decision.repair, Propagate) and self.overflow < math.inf

    def found(self, host: Fetched, again: Callable[[], float]) -> bool:
        """Whether a gradient holds NaN or infinity, rather than elements beyond ``overflow``.

        ``again`` gives the joint norm as it is, and is asked only where that is not known.
        """
        bad = any(host.totals[2:5])
        return not math.isfinite(again()) if bad and self.overflow < math.inf else bad

    def again(self, parameters: Parameters | Shards) -> float:
        """The joint Euclidean norm as it is now: NaN or infinite if an element is."""
        return norm_of(core.measure_table(parameters.tensors, ()).cpu().numpy())


def _here(loss: DTensor) -> Tensor:
    """A loss that every rank has, as parallel losses are, without a collective."""
    if not all(placement.is_replicate() for placement in loss.placements):
        raise TypeError(
            f"loss is placed {loss.placements}, so that no rank has it as a whole. Give "
            "loss.full_tensor(), on all ranks."
        )
    return local_of(loss).detach()


def norm_of(table: Table) -> float:
    """The joint norm that a table on the host says: NaN or infinite if an element is."""
    nan, posinf, neginf, norm = table[2:6, -1].tolist()
    if nan:
        return math.nan
    return math.inf if posinf or neginf else float(norm)


def _needs(part: object) -> frozenset[str]:
    return needed(getattr(part, "needs", ()))
