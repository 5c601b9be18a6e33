"""Which module turned non-finite first, forward or backward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.monitors.tracer import NonfiniteTracer

if TYPE_CHECKING:
    from torch import nn

    from gradcore.monitors.tracer import Action


def trace_nonfinite(
    model: nn.Module, action: Action = "raise", *, at_once: bool | None = None
) -> NonfiniteTracer:
    """Watch a model for the first module that turns finite values into non-finite ones.

    Forward, that is the first module to finish with a NaN or infinite output though its inputs were
    finite: the innermost one, or the one around it where the fault lies in code between modules.
    Backward, it is the module that made the first node of the graph to return a non-finite gradient
    for finite ones, and the node is named; gradients of parameters are among those.  A batch or
    a loss that was not finite to begin with is called ``"(input)"`` and ``"(loss)"``.

    It changes no value, keeps no tensor, needs no ``detect_anomaly``, and works with operations in
    place, gradient checkpointing and several processes (each traces its own model).  What passes is
    read once more, by a sum.  -Inf in an argument that needs no gradient and is not the first, such
    as an attention mask, is taken for intended.  A model that is compiled as a whole is one module
    to it: trace what `torch.compile` returned, since hooks of a module within compiled code, or of
    one that `.compile()` was called on, do not run (that no pass was seen is logged).  On a CPU,
    forward and backward took 8 % longer for a transformer of width 256 and a residual net of 32
    channels (``benchmarks/monitors.py``, one thread), less for wider ones; ``detect_anomaly`` took
    62 % and 28 % longer.

    On the CPU everything is looked at as it passes: the error comes out of the forward or backward
    pass there and then.  On other devices the sums stay on the device and are looked at once a
    step, when backward has ended (or the next forward pass begins, or tracing ends), so that the
    error comes out of ``backward()``; then the tensors are gone, and ``inputs`` and ``outputs`` of
    the event are empty.  ``at_once=True`` waits for the device at every module instead.

    Args:
        model: What to watch; the names in the event are those of its ``named_modules()``.
        action: ``"raise"`` an error at every event, or ``"log"`` the first one as a warning (logger
            ``gradcore``) and then look no further until ``reset()``.
        at_once: See above; None: on the CPU only.

    Returns:
        A context manager that yields itself; its ``event`` is the first `NonfiniteEvent`, or None.

    Raises:
        NonfiniteGradientError: While tracing: something turned non-finite.
        TypeError: ``model`` is not a module.
        ValueError: ``action`` is neither.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> class Root(nn.Module):
        ...     def forward(self, x):
        ...         return x.sqrt()
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), Root())
        >>> nn.init.zeros_(model[0].weight) is nn.init.constant_(model[0].bias, -1.0)
        False
        >>> with trace_nonfinite(model, action="log") as tracer:
        ...     model(torch.ones(1, 2)).sum().backward()
        >>> tracer.event.module, tracer.event.direction, tracer.event.operation
        ('2', 'backward', 'SqrtBackward0')
    """
    return NonfiniteTracer(model, action, at_once)
