"""A guard on one of many ranks: measured here, decided for all, carried out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from gradcore.distributed import head as heads
from gradcore.distributed.configuration import configuration_of, difference, digest_of
from gradcore.distributed.group import device_of
from gradcore.distributed.layout import Joined, Layout
from gradcore.distributed.ownership import Ownership, gathered, held_by, resolve
from gradcore.distributed.shards import Shards
from gradcore.errors import DistributedError
from gradcore.plan import Propagate, Scale, ZeroParameters
from gradcore.statistics import ALWAYS, OF_UNITS, ROWS, Statistics

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from gradcore.decision import Decision
    from gradcore.fetching import Fetched
    from gradcore.guard import Guard
    from gradcore.parameter_table import Table

NONFINITE = slice(ROWS.index("nan"), ROWS.index("neginf") + 1)


class Job:
    """All ranks that hold parts of the parameters of a guard, each with a guard like it.

    Args:
        guard: The one of this rank.
        group: The ranks.

    Raises:
        DistributedError: The guard has a policy or a need that one process alone can serve.
    """

    def __init__(self, guard: Guard, group: ProcessGroup) -> None:
        self._guard, self._group = guard, group
        self._rank, self._ranks = dist.get_rank(group), dist.get_world_size(group)
        self._ownership: Ownership | None = None
        self._layout = self._beside = Layout((), 0, 0, 1, 2.0)
        self._length = 0
        self._device = torch.device("cpu")
        self._stale = self._differing = False
        self._failure: str | None = None
        self.nonfinite_ranks: str | None = None
        """Ranks that hold something that is not finite, as in ``"0, 3"``; None for none."""
        self.see_parameters()

    def see_parameters(self) -> None:
        """Take in that the guard has other parameters; other ranks hear of it in the next step."""
        guard = self._guard
        unserved = [name for name in OF_UNITS if name in guard.measuring.ever]
        if unserved:
            raise DistributedError(
                f"{unserved[0]!r} is not measured across processes: a unit may lie on several of "
                "them. Use a strategy that bounds whole parameters."
            )
        if guard.rollback is not None:
            raise DistributedError(
                f"The policy {guard.nonfinite.name!r} takes snapshots, which is not supported "
                "across processes. Use nonfinite='skip' and checkpoints."
            )
        self.shards = Shards(guard.parameters.names, guard.parameters.tensors)
        self._stale = self._ownership is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parameters of the job, in the order of the rows of its statistics."""
        return self._own.names

    @property
    def _own(self) -> Ownership:
        assert self._ownership is not None  # noqa: S101 - set in the first step
        return self._ownership

    def require_no_scaler(self, scale: float | None) -> None:
        """Raise `DistributedError` where gradients are scaled."""
        if scale is not None:
            raise DistributedError(
                "A scaler of mixed precision finds infinities on its own rank alone, so it is not "
                "supported across processes. Train in bfloat16, which needs none."
            )

    def attempt(self, measure: Callable[[], Statistics]) -> Statistics:
        """Measure what this rank holds; an error waits until all ranks know of it."""
        self._failure = None
        try:
            self.shards.take_gradients()
            return measure()
        except (TypeError, ValueError) as error:
            self._failure = f"{type(error).__name__}: {error}"
            table = torch.zeros(len(ROWS), len(self.shards.tensors) + 1, dtype=torch.float64)
            return Statistics(table, torch.tensor(False))

    def joined(self, local: Statistics) -> Statistics:
        """The statistics of the job, on the host and the same bits on every rank.

        Raises:
            DistributedError: A rank failed to measure, or ranks differ in configuration; the same
                error on all of them.
        """
        if self._ownership is None:
            self._resolve()
        head, body = self._reduced(local)
        while head.stale:
            self._resolve()
            head, body = self._reduced(local)
        if any(head.failed) or len(set(head.digests)) > 1:
            self._fail()
        looked = local.measured
        of_gradients = self._layout.unpack(body[: self._layout.length], looked, self._own.copies)
        tables = [of_gradients]
        if local.parameters_table is not None:
            part = body[self._layout.length :]
            tables.append(self._beside.unpack(part, ALWAYS, self._own.copies))
        self._require_gradients(of_gradients)
        self._differing = any(bool(each.differing.any()) for each in tables)
        self.nonfinite_ranks = ", ".join(map(str, head.bad)) or None
        loss = None if head.loss is None else torch.tensor(head.loss, dtype=torch.float64)
        trusted = of_gradients.table[NONFINITE, -1].sum() == 0
        trusted &= loss is None or loss.isfinite()
        if "parameter_nonfinite" in looked:
            trusted &= tables[1].table[NONFINITE, -1].sum() == 0
        return replace(
            local,
            table=of_gradients.table,
            trusted=trusted,
            parameters_table=tables[1].table if len(tables) > 1 else None,
            loss=loss,
        )

    def judged(self, decision: Decision, host: Fetched) -> Fetched:
        """What the host knows, in the rows of the job.

        Where replicas differ in what is not finite no repair leaves them alike, so the step is
        skipped, unless such elements are to be let through.
        """
        rates = None if host.rates is None else self._spread(host.rates)
        differing = self._differing and not isinstance(decision.repair, Propagate)
        return replace(host, rates=rates, skip=host.skip or differing)

    def own(
        self, local: Statistics, joined: Statistics, decision: Decision
    ) -> tuple[Tensor, Decision]:
        """The part of a decision that this rank carries out, and the table to repair by.

        That says what this rank saw; or where parameters go as a whole, what all ranks did.
        """
        table, columns = local.table, self._own.columns

        def rows(factors: Tensor) -> Tensor:
            return (factors[columns] if factors.ndim else factors).to(table.device)

        if isinstance(decision.repair, ZeroParameters):
            table = table.clone()
            table[NONFINITE, :-1] = joined.table[NONFINITE][:, columns].to(table)
        bound, shrink = decision.bound, decision.shrink
        if isinstance(bound, Scale):
            bound = Scale(rows(bound.factors))
        shrink = None if shrink is None else rows(shrink)
        return table, replace(decision, bound=bound, shrink=shrink)

    def norm(self, local: Statistics) -> float:
        """The joint norm of what was measured a second time, NaN or infinite if an element is."""
        table = self.joined(local).table
        nan, posinf, neginf, norm = table[2:6, -1].tolist()
        return float("nan") if nan else float("inf") if posinf or neginf else norm

    def _reduced(self, local: Statistics) -> tuple[heads.Head, Tensor]:
        """One SUM all-reduce."""
        table = local.table
        bad = table[NONFINITE, -1].sum()
        if local.parameters_table is not None:
            bad = bad + local.parameters_table[NONFINITE, -1].sum().to(bad)
        void = self._failure is not None or self._stale
        vector = table.new_zeros(heads.length(self._ranks) + self._length)
        start = heads.length(self._ranks)
        vector[:start] = heads.said(
            self._rank,
            self._ranks,
            digest=digest_of(configuration_of(self._guard)),
            failed=self._failure is not None,
            stale=self._stale,
            bad=bad,
            loss=None if void else local.loss,
        )
        if not void:
            end = start + self._layout.length
            vector[start:end] = self._layout.pack(table, local.measured, self._own)
            if local.parameters_table is not None:
                of_parameters = local.parameters_table.to(table.device)
                vector[end:] = self._beside.pack(of_parameters, ALWAYS, self._own)
        vector = vector.to(self._device)
        dist.all_reduce(vector, group=self._group)
        vector = vector.cpu()
        return heads.Head.of(vector[:start], self._ranks), vector[start:]

    def _resolve(self) -> None:
        """Find out who owns what, with everyone."""
        shards, guard = self.shards, self._guard
        devices = {tensor.device.type for tensor in shards.tensors}
        mine = (held_by(shards.names, shards.parameters), configuration_of(guard), devices)
        everyone = gathered(mine, self._group)
        unlike = difference([configuration for _, configuration, _ in everyone])
        if unlike is not None:
            raise DistributedError(unlike)
        own = resolve([held for held, _, _ in everyone], self._rank)
        self._device = device_of(
            self._group, sorted(set().union(*(kinds for *_, kinds in everyone)))
        )
        ever, n = guard.measuring.ever, len(own.names)
        place = (self._rank, self._ranks, guard.measuring.norm_type)
        self._layout, self._beside = Layout(ever, n, *place), Layout((), n, *place)
        self._length = self._layout.length
        if "parameter_l2" in ever:
            self._length += self._beside.length
        self._ownership, self._stale = own, False

    def _fail(self) -> None:
        """Raise the same error everywhere: one more collective, since training ends here."""
        everyone = gathered((self._failure, configuration_of(self._guard)), self._group)
        for rank, (failure, _) in enumerate(everyone):
            if failure is not None:
                raise DistributedError(f"Rank {rank} could not measure. {failure}")
        unlike = difference([configuration for _, configuration in everyone])
        raise DistributedError(unlike or "Ranks differed in configuration.")

    def _require_gradients(self, joined: Joined) -> None:
        if bool(joined.partly.any()):
            name = self.names[int(joined.partly.nonzero()[0])]
            raise DistributedError(
                f"{name!r} has a gradient on some of the ranks that hold it and none on others, so "
                "that they would step apart. Freeze it on all ranks or on none."
            )

    def _spread(self, values: Table) -> Table:
        """Of this rank's parameters, among those of the job: NaN for others."""
        spread = np.full(len(self.names), np.nan)
        spread[self._own.columns.numpy()] = values
        return spread
