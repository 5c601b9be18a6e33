"""From a device to the host, by one copy that nobody has to wait for."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gradcore.capturing import in_a_graph
from gradcore.errors import GradcoreError
from gradcore.fetching import OF_PARAMETERS, ONE, Fetched
from gradcore.plan import ScaleUnits

if TYPE_CHECKING:
    from gradcore.decision import Decision
    from gradcore.parameter_table import Table
    from gradcore.rates import Rates
    from gradcore.statistics import Statistics


class Copy:
    """Small tensors of one device on their way to the host.

    They go as one float64 vector, through pinned memory, behind whatever the device has to do
    already; where a device has no queue that could be asked, the copy has been waited for. In a
    graph that is being captured they stay where they are, for `again` to send after each replay.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        device = tensors[0].device
        self._shapes = [tensor.shape for tensor in tensors]
        flat = torch.cat([t.detach().to(device, torch.float64).reshape(-1) for t in tensors])
        self._event: torch.Event | None = None
        self._captured = flat if queues(device.type) and in_a_graph() else None
        if self._captured is None:
            self._send(flat)

    def _send(self, flat: Tensor) -> None:
        device = flat.device
        if not queues(device.type):
            self._host = flat.cpu()
            return
        self._host = torch.empty(flat.shape, dtype=flat.dtype, device="cpu", pin_memory=True)
        self._host.copy_(flat, non_blocking=True)
        self._event = torch.Event(device)
        self._event.record(torch.accelerator.current_stream(device))

    def again(self) -> Copy:
        """The numbers that stand there now, on their way."""
        assert self._captured is not None  # noqa: S101 - only of captured ones
        sent = copy(self)
        sent._send(self._captured)  # noqa: SLF001 - its own
        sent._captured = None  # noqa: SLF001 - its own
        return sent

    def wait(self) -> list[Table]:
        """The numbers, as soon as they are there.

        Raises:
            GradcoreError: They were captured in a graph.
        """
        if self._captured is not None:
            raise GradcoreError(
                "The host has a say in this step, so a graph cannot hold it. Capture steps of a "
                "fused optimizer under a policy other than raise, restore and adaptive."
            )
        if self._event is not None:
            self._event.synchronize()
        parts = torch.split(self._host, [shape.numel() for shape in self._shapes])
        return [p.reshape(s).numpy() for p, s in zip(parts, self._shapes, strict=True)]


@functools.cache
def queues(kind: str) -> bool:
    """Whether devices of this kind have streams and events, and copy to pinned memory."""
    accelerator = torch.accelerator.current_accelerator()
    return accelerator is not None and accelerator.type == kind != "mps"


class Sent:
    """Numbers of one step on their way to the host; `fetched` waits for them.

    What is on the host already stays there.
    """

    def __init__(
        self,
        statistics: Statistics,
        decision: Decision,
        rates: Rates | None,
        *,
        scaling: Tensor | None,
        before: Tensor | None = None,
        after: Tensor | None = None,
    ) -> None:
        units = statistics.per_unit if isinstance(decision.bound, ScaleUnits) else None
        measured = statistics.parameters_table
        self._rates = rates
        self._parts: list[Tensor | float | None] = [
            statistics.table,  # first: the others go by its device
            statistics.loss,
            decision.factors,
            None if measured is None else measured[OF_PARAMETERS],
            *((None, None) if units is None else (units.l2, units.counts)),
            *(before, after, scaling),
            statistics.untrusted,
            *(decision.skip, decision.stop, decision.restore),
            *(() if rates is None else rates.of_groups),
        ]
        self._copy = Copy([p for p in self._parts if isinstance(p, Tensor) and not p.is_cpu])

    def again(self) -> Sent:
        """The numbers of a step that was captured, after a replay."""
        sent = copy(self)
        sent._copy = self._copy.again()  # noqa: SLF001 - its own
        return sent

    def fetched(self) -> tuple[Fetched, Table | None, Table | None]:
        """The numbers, and the tables ``before`` and ``after`` everything if they were sent."""
        sent = iter(self._copy.wait())
        parts = [_on_the_host(part, sent) for part in self._parts]
        table, loss, factors, parameters, norms, counts, before, after, scaling = parts[:9]
        event, skip, stop, restore = (flag is not None and bool(flag) for flag in parts[9:13])
        assert table is not None  # noqa: S101 - for mypy
        fetched = Fetched(
            table,
            table[:, -1].tolist(),
            ONE if factors is None else factors,
            None if loss is None else float(loss),
            event,
            skip,
            stop,
            restore,
            parameters,
            None if self._rates is None else self._rates.of_parameters(parts[13:]),
            norms,
            counts,
            scaling,
        )
        return fetched, before, after


def _on_the_host(part: Tensor | float | None, sent: Iterator[Table]) -> Table | None:
    if isinstance(part, Tensor):
        return part.detach().double().numpy() if part.is_cpu else next(sent)
    return None if part is None else np.asarray(part, dtype=np.float64)
