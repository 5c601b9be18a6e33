"""When snapshots are taken, and what of: so that there is always a good one to go back to."""

from __future__ import annotations

import logging
import weakref
from enum import IntEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradcore import core
from gradcore.parameters import same
from gradcore.snapshot import Snapshot, leaves, local
from gradcore.statistics import ROWS
from gradcore.validation import require_count

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from gradcore.distributed.job import Job
    from gradcore.parameters import Parameters
    from gradcore.protocols import NonfinitePolicy

logger: logging.Logger = logging.getLogger("gradcore")

NAN = ROWS.index("nan")
INFINITE = slice(ROWS.index("posinf"), ROWS.index("neginf") + 1)


class Due(IntEnum):
    """Whether a snapshot is due; of several ranks' answers the largest counts."""

    NOT = 0
    IF_TRUSTED = 1
    IN_ANY_CASE = 2


class Rollback:
    """The last snapshot of all that training changes, and when the next one is due.

    Held are the parameters that train, the buffers of the module that is guarded, and the state of
    every optimizer that is known to step.  A snapshot is taken before the first step, again when
    other parameters train or another optimizer steps, and after every so many steps that were taken
    with nothing non-finite; never while something to be held is not finite.

    Args:
        every: Trusted steps between snapshots, >= 1.
        device: Where snapshots are held; None for the devices of the parameters.

    Raises:
        ValueError: ``every`` or ``device`` cannot be.
    """

    def __init__(self, every: int, device: str | torch.device | None = None) -> None:
        self.every: int = require_count("snapshot_every", every)
        try:
            self.device: torch.device | None = None if device is None else torch.device(device)
        except RuntimeError as error:
            raise ValueError(f"device must be one that torch knows; got {device!r}.") from error
        self.nbytes: int = 0
        self.forget()

    @classmethod
    def of(cls, policy: NonfinitePolicy) -> Rollback | None:
        """What a policy asks for with its ``snapshot_every`` and ``device``; None for nothing."""
        every = getattr(policy, "snapshot_every", None)
        return None if every is None else cls(every, getattr(policy, "device", None))

    def forget(self) -> None:
        """Hold nothing: the next step takes a snapshot."""
        self._snapshot = Snapshot(self.device)
        self._step: int | None = None
        self._age = 0
        self._trained: list[Tensor] = []
        self._optimizers: list[weakref.ref[Optimizer]] = []
        self._warned = False

    def after(self, other: Rollback | None) -> Rollback:
        """What to go on with after another guard: its own if it is alike, else this one, empty."""
        if other is not None and (other.every, other.device) == (self.every, self.device):
            return other
        self.forget()
        return self

    @property
    def step(self) -> int | None:
        """The step that the snapshot was taken before; None for no snapshot."""
        return self._step

    @property
    def possible(self) -> bool:
        """There is a snapshot."""
        return self._step is not None

    def due(self, parameters: Parameters, optimizer: Optimizer | None) -> Due:
        """Whether a snapshot is to be taken before this step, of which optimizer if known."""
        trained, known = self._now(parameters, optimizer)
        changed = known != self._optimizers or not same(trained, self._trained)
        if self._step is None or changed:
            return Due.IN_ANY_CASE
        return Due.IF_TRUSTED if self._age >= self.every else Due.NOT

    def see(
        self,
        parameters: Parameters,
        optimizer: Optimizer | None,
        step: int,
        *,
        trusted: bool,
        job: Job | None = None,
    ) -> None:
        """Take a snapshot if one is due; with all ranks of a job, or on none of them."""
        due = self.due(parameters, optimizer) if job is None else job.due
        if due == Due.IN_ANY_CASE or (trusted and due == Due.IF_TRUSTED):
            self._take(parameters, optimizer, step, job)
        self._age += trusted

    def restore(self) -> None:
        """Write the snapshot back, bit for bit and in place.

        Raises:
            GradcoreError: A parameter was given another shape or dtype; nothing was changed.
        """
        self._snapshot.restore()
        self._age = 0
        logger.info("Parameters and optimizer state are as before step %d.", self._step)

    def _now(
        self, parameters: Parameters, optimizer: Optimizer | None
    ) -> tuple[list[Tensor], list[weakref.ref[Optimizer]]]:
        """Parameters that train, and optimizers that are known to step."""
        optimizer = optimizer or parameters.optimizer
        trained = [t for t in parameters.tensors if t.requires_grad or t.grad is not None]
        known = [reference for reference in self._optimizers if reference() is not None]
        if optimizer is not None and weakref.ref(optimizer) not in known:
            known.append(weakref.ref(optimizer))
        return trained, known

    def _take(
        self, parameters: Parameters, optimizer: Optimizer | None, step: int, job: Job | None
    ) -> None:
        trained, known = self._now(parameters, optimizer)
        chosen = set(map(id, trained))
        names = zip(parameters.names, parameters.tensors, strict=True)
        weights = {name: tensor for name, tensor in names if id(tensor) in chosen}
        buffers = parameters.buffers
        optimizers = [optimizer for reference in known if (optimizer := reference()) is not None]
        bad = _not_finite(weights, buffers, optimizers)
        if job is not None and job.anywhere(bad is not None):
            bad = bad or "something on another rank"
        if bad is not None:
            if not self._warned:
                old = "" if self._step is None else f" The one before step {self._step} is kept."
                logger.warning("No snapshot before step %d: %s is not finite.%s", step, bad, old)
            self._warned = True
            return
        self._snapshot.take(weights | buffers, optimizers)
        self._step, self._age, self._warned = step, 0, False
        self._trained, self._optimizers = trained, known
        if self._snapshot.nbytes != self.nbytes:
            self.nbytes = self._snapshot.nbytes
            logger.info(
                "A snapshot of %d parameters, %d buffers and the state of %s takes %.3g MB on %s.",
                len(weights),
                len(buffers),
                ", ".join(type(o).__name__ for o in optimizers) or "no optimizer",
                self.nbytes / 1e6,
                self.device or "their devices",
            )


def _not_finite(
    weights: dict[str, Tensor], buffers: dict[str, Tensor], optimizers: list[Optimizer]
) -> str | None:
    """The first thing that no snapshot should hold, in words.

    An infinite buffer may be meant, as in a mask of attention; NaN never is.
    """
    found = [(f"the parameter {name!r}", tensor) for name, tensor in weights.items()]
    for optimizer in optimizers:
        kind = type(optimizer).__name__
        found += [(f"{k} of the state of {kind}", t) for k, t in leaves(dict(optimizer.state))]
    found = [(name, tensor) for name, tensor in found if _is_measurable(tensor)]
    last = len(found)
    found += [(f"the buffer {n!r}", t) for n, t in buffers.items() if _is_measurable(t)]
    table = core.measure_table([local(tensor) for _, tensor in found], (), gradients=False)
    bad = table[NAN, :-1] > 0
    bad[:last] |= table[INFINITE, :last].sum(0) > 0
    first = bad.nonzero()
    return found[int(first[0])][0] if len(first) else None


def _is_measurable(tensor: Tensor) -> bool:
    """Integers are finite; what else has no measure is held without a look at it."""
    try:
        core.check_supported(local(tensor))
    except TypeError:
        return False
    return True
