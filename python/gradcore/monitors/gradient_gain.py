"""How much a gradient grows or shrinks on its way back through a stack of blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, get_args

from torch import Tensor, nn

from gradcore import core
from gradcore.errors import MonitorError
from gradcore.monitors.gain_table import gain, gain_report, log_gain, summary
from gradcore.monitors.tensors import tensors_in
from gradcore.statistics import ROWS
from gradcore.validation import require_positive

if TYPE_CHECKING:
    from types import TracebackType

    from torch.utils.hooks import RemovableHandle
    from typing_extensions import Self

NormType = Literal["l2", "l1", "linf", "mean"]

MEASURED: Final[dict[NormType, str]] = {"l2": "l2", "l1": "l1", "linf": "max_abs", "mean": "l1"}
"""The row of the native table that each norm is made of."""


class GradientGainMonitor:
    """Records the norm of the gradient at the output of each block, and the gains between them.

    With ``h_i`` the output of block i and L the loss, the gain of the transition from block i - 1
    to block i is ``gamma_i = ||dL/dh_{i-1}|| / ||dL/dh_i||``: above 1 the gradient grows on its way
    back through block i, below 1 it shrinks.  Gains do not depend on the scale of the loss.

    Of a block that returns several tensors (a tuple, list, mapping or dataclass) the first one that
    carries a gradient counts.  An operation in place on what a block returned does not disturb the
    measurement: the gradient is that of the values as the block returned them.

    Norms are measured natively, so that they neither overflow nor underflow, and kept as numbers on
    the gradient's device: nothing of the graph is held, and a GPU is waited for only where a result
    is read.  It works under gradient checkpointing of both kinds, and under DDP, where it sees the
    gradients of its own process; a DTensor is gathered and measured whole.  Blocks may be compiled,
    each by itself or with their surroundings; in the latter case make the monitor before the first
    call, and without ``fullgraph=True``, which cannot hold hooks.

    Args:
        blocks: Modules in the order in which the data passes them, each once: `nn.Sequential`,
            `nn.ModuleList`, `nn.ModuleDict`, or any iterable of modules.
        norm_type: ``"l2"``, ``"l1"``, ``"linf"`` (largest magnitude) or ``"mean"`` (mean magnitude,
            which does not grow with the size of the tensor).  Of a complex element the modulus
            counts.
        strict_single_backward: True: a gradient that arrives at a block for the second time since
            the last `reset` is an error, since norms of two passes make no gain.  False: it takes
            the place of the first one, as gradient accumulation and blocks that are used several
            times in a pass need.
        eps: A norm below it counts as vanished; > 0.

    Raises:
        TypeError: ``blocks`` are not modules.
        ValueError: There are no blocks, one is listed twice, or an option cannot be.

    Example:
        >>> import torch
        >>> blocks = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(3)))
        >>> for block, factor in zip(blocks, (1.0, 0.25, 1.0)):
        ...     block.weight.data = factor * torch.eye(2)
        >>> with GradientGainMonitor(blocks) as monitor:
        ...     blocks(torch.ones(1, 2)).sum().backward()
        >>> monitor.gains()
        [0.25, 1.0]
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module] | nn.ModuleDict,
        norm_type: NormType = "l2",
        strict_single_backward: bool = True,
        eps: float = 1e-30,
    ) -> None:
        if norm_type not in get_args(NormType):
            raise ValueError(
                f"norm_type must be among {', '.join(get_args(NormType))}; got {norm_type!r}."
            )
        self.norm_type: NormType = norm_type
        self.strict_single_backward = strict_single_backward
        self.eps: float = require_positive("eps", eps)
        modules = _listed(blocks)
        self._names = [f"{i} ({type(module).__name__})" for i, module in enumerate(modules)]
        self._tables: list[Tensor | None] = [None] * len(modules)
        self._arriving: list[RemovableHandle] = []
        self._installed = [
            module.register_forward_hook(partial(self._watch, index))
            for index, module in enumerate(modules)
        ]

    def norms(self) -> list[float | None]:
        """The norm of the gradient at each block's output; None where no gradient came by.

        NaN or infinite where the gradient holds such elements.
        """
        return [self._norm(table) for table in self._tables]

    def gains(self) -> list[float | None]:
        """The gain of each transition, one fewer than blocks.

        None where a norm is missing; infinite where the later norm, by which one divides, is below
        ``eps``; NaN where a norm is not finite.
        """
        norms = self.norms()
        return [gain(a, b, self.eps) for a, b in pairwise(norms)]

    def log_gains(self) -> list[float | None]:
        """The natural logarithm of each gain, as a difference of logarithms of norms.

        Minus infinity where the earlier norm is zero; else as for `gains`.
        """
        norms = self.norms()
        return [log_gain(a, b, self.eps) for a, b in pairwise(norms)]

    def summary_stats(self) -> dict[str, float | int]:
        """What the gains amount to.

        ``mean_gain``, ``min_gain``, ``max_gain`` and ``mean_log_gain`` are over finite values, NaN
        if there are none or a gain is NaN.  ``num_amplifying`` counts gains above 2,
        ``num_damping`` below 0.5, ``num_healthy`` those between, ``num_vanishing`` infinite ones
        (the later norm is below ``eps``), ``num_missing`` transitions without a gain.  The bounds
        0.5 and 2 are rules of thumb.
        """
        return summary(self.gains(), self.log_gains())

    def report(self) -> str:
        """Norms, gains and summary as text."""
        return gain_report(
            self._names, self.norm_type, self.norms(), self.gains(), self.log_gains()
        )

    def reset(self) -> None:
        """Forget what was recorded, and what is still to come from past forward passes."""
        self._tables = [None] * len(self._tables)
        self._forget_arriving()

    def close(self) -> None:
        """Remove every hook.  What was recorded can still be read."""
        for handle in self._installed:
            handle.remove()
        self._installed.clear()
        self._forget_arriving()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _watch(self, index: int, _module: nn.Module, _inputs: object, output: object) -> None:
        """Ask to be told when the gradient arrives at what a block returned."""
        self._arriving = [
            handle for handle in self._arriving if handle.hooks_dict_ref() is not None
        ]
        tensor = next((each for each in tensors_in(output) if each.requires_grad), None)
        if tensor is None:
            return
        seen: list[bool] = []
        self._tell(tensor, partial(self._record, index, seen))
        base = tensor._base  # noqa: SLF001 - the one way to it
        if base is not None and base.requires_grad and base.numel() == tensor.numel():
            # An operation in place on a view cuts the view's own node out of the graph.  The
            # gradient then arrives at the tensor viewed, with the same elements in another shape.
            self._tell(base, partial(self._record_base, index, seen))

    def _tell(self, tensor: Tensor, record: Callable[[Tensor], None]) -> None:
        self._arriving.append(tensor.register_hook(record))  # type: ignore[no-untyped-call]

    def _record(self, index: int, seen: list[bool], gradient: Tensor) -> None:
        seen.append(True)
        if self._tables[index] is not None and self.strict_single_backward:
            raise MonitorError(
                f"A second gradient arrived at the output of block {self._names[index]} since the "
                "last reset. Call reset() after each backward pass, or, for gradient accumulation "
                "or blocks that are used several times in a pass, make the monitor with "
                "strict_single_backward=False."
            )
        needs = () if self.norm_type == "l2" else (MEASURED[self.norm_type],)
        whole = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
        self._tables[index] = core.measure_table([whole.detach()], needs, gradients=False)[:, -1]

    def _record_base(self, index: int, seen: list[bool], gradient: Tensor) -> None:
        if not seen:
            self._record(index, seen, gradient)
        seen.clear()

    def _norm(self, table: Tensor | None) -> float | None:
        if table is None:
            return None
        values = dict(zip(ROWS, table.tolist(), strict=True))
        if values["nan"]:
            return math.nan
        if values["posinf"] or values["neginf"]:
            return math.inf
        norm: float = values[MEASURED[self.norm_type]]
        return norm / max(values["numel"], 1) if self.norm_type == "mean" else norm

    def _forget_arriving(self) -> None:
        for handle in self._arriving:
            handle.remove()
        self._arriving.clear()


def _listed(blocks: Iterable[nn.Module] | nn.ModuleDict) -> Sequence[nn.Module]:
    if not isinstance(blocks, Iterable):
        raise TypeError(
            f"blocks must be several modules, as in model.layers; got {type(blocks).__name__}."
        )
    modules = list(blocks.values() if isinstance(blocks, nn.ModuleDict) else blocks)
    if not modules:
        raise ValueError("There is nothing to monitor: blocks is empty.")
    for index, module in enumerate(modules):
        if not isinstance(module, nn.Module):
            raise TypeError(f"blocks must be modules; block {index} is {module!r}.")
        if any(module is other for other in modules[:index]):
            raise ValueError(
                f"Blocks must differ; block {index} ({type(module).__name__}) is listed twice."
            )
    return modules
