"""Whether a guard is one of many, found out when its parameters change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

    from gradcore.distributed.job import Job
    from gradcore.guard import Guard


class Across:
    """The job of a guard, if it has one.

    Args:
        group: The ranks that decide together; None to ask the meshes of DTensors.

    Raises:
        TypeError: It is no process group.
        DistributedError: This rank is not in it.
    """

    def __init__(self, group: ProcessGroup | None) -> None:
        if group is not None:
            from gradcore.distributed.group import require_group  # noqa: PLC0415 - as below

            group = require_group(group)
        self._group = group
        self._seen: list[Tensor] | None = None
        self._job: Job | None = None
        self._before: Job | None = None

    def job(self, guard: Guard) -> Job | None:
        """None for one process.

        Raises:
            DistributedError: As `Job`.
        """
        if self._seen is not guard.parameters.tensors:
            self._look(guard)
            self._seen = guard.parameters.tensors
        return self._job

    def refuse(self, guard: Guard, error: Exception) -> None:
        """Tell the other ranks, if there are any, that this one cannot take its step.

        Raises:
            DistributedError: There are, and they raise it too.
        """
        job = self.job(guard)
        if job is not None:
            job.refuse(error)

    def continue_from(self, other: Across) -> None:
        """Go on as other ranks do which step with that one, until they know of this one."""
        before = other._job or other._before
        if before is None:
            return
        self._before = before
        if self._job is not None:
            self._job.continue_from(before)

    def _look(self, guard: Guard) -> None:
        if self._job is not None:
            self._job.see_parameters()
            return
        from gradcore.distributed.sharding import is_sharded  # noqa: PLC0415 - as below

        if self._group is None and not any(map(is_sharded, guard.parameters.tensors)):
            return
        # torch.distributed is no part of every build of torch, and nothing for one process.
        from gradcore.distributed.group import group_of  # noqa: PLC0415
        from gradcore.distributed.job import Job  # noqa: PLC0415

        group = self._group or group_of(guard.parameters.tensors)
        if group is not None:
            self._job = Job(guard, group)
            if self._before is not None:
                self._job.continue_from(self._before)
