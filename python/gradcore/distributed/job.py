"""A guard on one of many ranks: measured here, decided for all, carried out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

from gradcore import core
from gradcore.distributed.agreement import Agreement, agree, in_words, require_success
from gradcore.distributed.configuration import (
    configuration_of,
    difference,
    digest_of,
    memory_of,
)
from gradcore.distributed.head import Head, Said
from gradcore.distributed.ownership import gathered
from gradcore.distributed.part import judged, part_of
from gradcore.distributed.shards import Shards
from gradcore.distributed.squares import join, split
from gradcore.distributed.vector import NONFINITE, bad_elements, empty_table
from gradcore.errors import DistributedError
from gradcore.parameters import same
from gradcore.statistics import ROWS, Statistics

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.optim import Optimizer

    from gradcore.decision import Decision
    from gradcore.distributed.layout import Joined
    from gradcore.distributed.partials import Summed
    from gradcore.fetching import Fetched
    from gradcore.guard import Guard
    from gradcore.unscaled import Unscaled

L2 = ROWS.index("l2")


class Job:
    """All ranks that hold parts of the parameters of a guard, each with a guard like it.

    Args:
        guard: The one of this rank.
        group: The ranks.
    """

    def __init__(self, guard: Guard, group: ProcessGroup) -> None:
        self._guard, self._group = guard, group
        self._rank, self._ranks = dist.get_rank(group), dist.get_world_size(group)
        self._agreement: Agreement | None = None
        self._stale = self._differing = False
        self._failure: Exception | None = None
        self._trouble: Exception | None = None
        self._scaling = "None"
        self._memory: dict[str, str] = {}
        self.nonfinite_ranks: str | None = None
        """Ranks that hold something that is not finite, as in ``"0, 3"``; None for none."""
        self.unlike_ranks: str | None = None
        """Ranks whose copies of gradients are not those of the lowest, likewise."""
        self.due: int = 0
        """Whether a snapshot is to be taken, by this rank and, once measured, by all: a `Due`."""
        self.see_parameters()

    def see_parameters(self) -> None:
        """Take in that the guard has other parameters; others hear of it in the next step."""
        parameters = self._guard.parameters
        self.shards: Shards = Shards(parameters.names, parameters.tensors)
        self._stale = self._agreement is not None

    def continue_from(self, other: Job) -> None:
        """Go on with what ranks agreed on with another guard, which others of them may keep."""
        if other._group is not self._group or other._agreement is None:
            return
        mine, its = self._guard.measuring, other._guard.measuring
        alike = (mine.ever, mine.norm_type, mine.unit_axis) == (
            its.ever,
            its.norm_type,
            its.unit_axis,
        )
        alike &= same(self.shards.parameters, other.shards.parameters)
        self._agreement, self._stale = other._agreement, other._stale or not alike

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parameters of the job, in the order of the rows of its statistics."""
        return self._agreed.own.names

    @property
    def _agreed(self) -> Agreement:
        assert self._agreement is not None  # noqa: S101 - set in the first step
        return self._agreement

    def begin(
        self, begin: Callable[[], None], unscaling: Unscaled, optimizer: Optimizer | None
    ) -> None:
        """See to it that gradients can be unscaled; an error waits until all ranks know of it."""
        rollback = self._guard.rollback
        self.due = 0 if rollback is None else rollback.due(self._guard.parameters, optimizer)
        self._trouble, unscaling.together = None, True
        try:
            begin()
        except Exception as error:  # noqa: BLE001 - whatever it is, other ranks wait for this one
            self._trouble = error
        self._scaling = f"scale={unscaling.scale}, factor={unscaling.factor}"

    def refuse(self, error: Exception) -> NoReturn:
        """Take part in a step that this rank cannot take, so that none waits for it.

        Raises:
            DistributedError: On all ranks.
        """
        self.due, self._trouble = 0, error
        self.measured(partial(self._guard.measuring, self.shards, None, looking=False))
        raise error  # which is not reached: what is measured is not asked for

    def measured(self, measure: Callable[[], Statistics]) -> tuple[Statistics, Statistics]:
        """Measure what this rank holds, and add it up with what other ranks do.

        Returns:
            What this rank measured; and the statistics of the job, on the host and the same bits on
            every rank.

        Raises:
            DistributedError: A rank failed to measure, or ranks differ in configuration; the same
                error on all of them.
        """
        configuration = configuration_of(self._guard) | {"scaler": self._scaling}
        if self._agreement is None:
            self._agree(configuration)
        local, summed, head, sums = self._together(measure, configuration)
        while head.stale:
            self._agree(configuration)
            local, summed, head, sums = self._together(measure, configuration)
        if any(head.failed) or len(set(head.digests)) > 1:
            self._fail(configuration | self._memory)
        both = self._agreed.vector.unpack(sums, local)
        self._require_gradients(both.gradients)
        summed.place(self.shards.parameters)
        self._differing, self.due = both.differing, head.due
        self.nonfinite_ranks = ", ".join(map(str, head.bad)) or None
        self.unlike_ranks = self._agreed.replicas.unlike(head, self._guard.steps)
        loss = None if head.loss is None else torch.tensor(head.loss, dtype=torch.float64)
        trusted = both.gradients.table[NONFINITE, -1].sum() == 0
        trusted &= loss is None or loss.isfinite()
        if "parameter_nonfinite" in local.measured and both.parameters is not None:
            trusted &= both.parameters.table[NONFINITE, -1].sum() == 0
        return local, replace(
            local,
            table=both.gradients.table,
            trusted=trusted,
            parameters_table=None if both.parameters is None else both.parameters.table,
            loss=loss,
            per_unit=both.units,
        )

    def judged(self, decision: Decision, host: Fetched) -> Fetched:
        """What the host knows, in the rows of the job."""
        return judged(self._agreed.own, decision, host, differing=self._differing)

    def own(
        self, local: Statistics, joined: Statistics, decision: Decision
    ) -> tuple[Tensor, Decision]:
        """The table to repair by, and the part of a decision that this rank carries out."""
        agreed = self._agreed
        return part_of(agreed.own, agreed.vector.units, local, joined, decision)

    def norm(self) -> float:
        """The joint norm as it is now, NaN or infinite if an element is: a second all-reduce."""
        table = core.measure_table(self.shards.tensors, ())
        own = table[:, :-1][:, self._agreed.own.owned.to(table.device)]
        bad = own[NONFINITE].sum(1)
        nan, posinf, neginf, *squares = self._sum(torch.cat((bad, split(own[L2]).sum(1)))).tolist()
        norm = float(join(torch.tensor(squares, dtype=torch.float64)[:, None]))
        return float("nan") if nan else float("inf") if posinf or neginf else norm

    def anywhere(self, here: bool) -> bool:
        """Whether something is so on any rank: one all-reduce."""
        return bool(self._sum(torch.tensor([float(here)], dtype=torch.float64)))

    def _sum(self, vector: Tensor) -> Tensor:
        """Over all ranks, on the host."""
        vector = vector.to(self._agreed.device)
        dist.all_reduce(vector, group=self._group)
        return vector.cpu()

    def _together(
        self, measure: Callable[[], Statistics], configuration: dict[str, str]
    ) -> tuple[Statistics, Summed, Head, Tensor]:
        """Measure and add up; an error of this rank waits until all ranks know of it."""
        agreed, parameters = self._agreed, self.shards.parameters
        summed = agreed.partials.reduce()
        self._failure = self._trouble
        local = Statistics(empty_table(len(self.shards.tensors)), torch.tensor(False))
        if self._failure is None and not self._stale:
            try:
                self._guard.bind(self.names)
                self._memory = memory_of(self._guard) | {"parameters": agreed.parameters}
                complete = self.shards.take_gradients(summed.values)
                self._stale = not complete or agreed.partials.missed(parameters)
                local = measure()
            except Exception as error:  # noqa: BLE001 - as in `begin`
                self._failure = error
        void = self._failure is not None or self._stale
        said = Said(
            digest=digest_of(configuration | self._memory),
            failed=self._failure is not None,
            stale=self._stale,
            due=self.due,
            bad=0.0 if void else bad_elements(local, summed.bad),
            norm=0.0 if void else agreed.replicas.norm(local),
            loss=None if void else local.loss,
        )
        sums = self._sum(agreed.vector.pack(said, None if void else local))
        return local, summed, agreed.vector.head(sums), sums

    def _agree(self, configuration: dict[str, str]) -> None:
        measuring, trouble = self._guard.measuring, self._trouble
        self._agreement = agree(self.shards, measuring, configuration, self._group, trouble)
        self._stale = False

    def _fail(self, configuration: dict[str, str]) -> NoReturn:
        """Raise the same error everywhere: one more collective, since training ends here."""
        everyone = gathered((in_words(self._failure), configuration), self._group)
        require_success([failure for failure, _ in everyone], self._failure)
        unlike = difference([configuration for _, configuration in everyone])
        raise DistributedError(unlike or "Ranks differed in configuration.")

    def _require_gradients(self, joined: Joined) -> None:
        if bool(joined.partly.any()):
            name = self.names[int(joined.partly.nonzero()[0])]
            raise DistributedError(
                f"{name!r} has a gradient on some of the ranks that hold it and none on others, so "
                "that they would step apart. Freeze it on all ranks or on none."
            )
