"""What a framework's own logger is given after a step, and what of a module is guarded."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from gradcore.sinks.series import PREFIX, series_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from gradcore.guard import Guard
    from gradcore.report import Report


def values_of(guard: Guard, report: Report, prefix: str = PREFIX) -> dict[str, float]:
    """The numbers of a step by name, ``gradcore/norm`` and so on, and totals of the run.

    A framework logs every so-manieth step; ``gradcore/total/skipped`` and the other totals, of all
    steps the guard has looked at so far, tell what happened in between.
    """
    series = series_of(report, per_parameter=False)
    named = {prefix + name.removeprefix(PREFIX): value for name, value in series.items()}
    totals = asdict(guard.history.seen)
    return named | {f"{prefix}total/{name}": float(count) for name, count in totals.items()}


def target_of(module: nn.Module, optimizer: Optimizer) -> nn.Module | list[tuple[str, Tensor]]:
    """What to guard for one optimizer of a module: what it steps, under the module's names.

    That is the module itself where the optimizer steps all of it, so that its buffers are known and
    parameters that join later are seen.
    """
    stepped = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    trained = {id(tensor) for tensor in module.parameters() if tensor.requires_grad}
    if trained <= stepped:
        return module
    return [(name, tensor) for name, tensor in module.named_parameters() if id(tensor) in stepped]
