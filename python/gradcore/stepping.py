"""One call in place of two lines: the functions most people need."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from gradcore.attachment import require_one_evaluation
from gradcore.errors import GradcoreError
from gradcore.guard import Guard

if TYPE_CHECKING:
    from torch.amp import GradScaler
    from torch.optim import Optimizer

    from gradcore.report import Report

ATTRIBUTE: Final = "_gradcore_guards"
"""Where an optimizer holds the guards of `safe_step`, so that they live as long as it does."""

OPTIONS: Final = tuple(list(inspect.signature(Guard).parameters)[1:])
"""Those of `Guard`, without the target."""

KEPT: Final = 8
"""Guards an optimizer holds at most, for as many sets of options."""


def safe_step(
    optimizer: Optimizer,
    *,
    guard: Guard | None = None,
    loss: Tensor | float | None = None,
    scaler: GradScaler | None = None,
    **options: Any,
) -> Report:
    """Measure, repair, clip and step in one call.

    Without ``guard`` one is made for this optimizer and these options, and kept as long as the
    optimizer lives, so that a strategy with memory keeps it.  Other options are another guard, with
    a strategy of its own, that goes on with the counters and the history of the one before.

    Args:
        optimizer: Any `torch.optim.Optimizer` that takes a step without a closure.
        guard: What to guard with.
        loss: The loss; a non-finite one makes the step a non-finite one.
        scaler: What scaled the loss, in mixed precision; as in `Guard.step`.
        **options: Those of `Guard`; not together with ``guard``.

    Returns:
        What was seen and done.

    Raises:
        ValueError: ``guard`` and options are given both.
        NonfiniteGradientError: As in `Guard.step`.
        TypeError: As in `Guard.step`, or an option is unknown.

    Example:
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> model(torch.tensor([[4.0]])).sum().backward()
        >>> print(safe_step(optimizer, max_norm=1.0))
        step 0: norm 4 -> 1
    """
    try:
        guard = _given_or_made(guard, optimizer, options)
    except Exception as error:
        _refuse(optimizer, guard, options, error)
        raise
    return guard.step(optimizer, loss=loss, scaler=scaler)


def safe_backward(loss: Tensor, guard: Guard) -> Report:
    """Run ``loss.backward()`` and apply ``guard``, which looks at the loss as well.

    ``optimizer.step()`` is up to the caller; after a skip the gradients are None, so it changes
    nothing.  To accumulate gradients over several losses call ``loss.backward()`` for all but the
    last, whose skip then discards them all.

    Raises:
        NonfiniteGradientError: As in `Guard.step`.
        GradcoreError: The guard is attached to an optimizer, which would apply it a second time.
        TypeError: The arguments are not a tensor and a guard.
    """
    for given, kind in ((loss, Tensor), (guard, Guard)):
        if not isinstance(given, kind):
            raise TypeError(
                "safe_backward() takes a loss and a guard; got a "
                f"{type(loss).__name__} and a {type(guard).__name__}."
            )
    if guard.attached:
        raise GradcoreError(
            "This guard is attached to an optimizer and is applied in its step: call "
            "loss.backward() alone, or remove() the handle."
        )
    loss.backward()  # type: ignore[no-untyped-call]
    return guard.apply(loss=loss)


def _given_or_made(guard: Guard | None, optimizer: Optimizer, options: dict[str, Any]) -> Guard:
    if guard is None:
        return _guard_of(optimizer, options)
    if not isinstance(guard, Guard):
        raise TypeError(f"guard must be a Guard; got a {type(guard).__name__}.")
    if options:
        raise ValueError(
            f"guard is given, so {', '.join(sorted(options))} would be ignored: give it to Guard."
        )
    return guard


def _refuse(optimizer: object, guard: object, options: dict[str, Any], error: Exception) -> None:
    """Tell other ranks, if there are any, of options that no guard can be made with."""
    if not isinstance(guard, Guard):
        if not isinstance(optimizer, torch.optim.Optimizer):
            return  # which ranks wait is not known
        known = getattr(optimizer, ATTRIBUTE, None)
        group = options.get("process_group")
        guard = known[-1][1] if known else Guard(optimizer, process_group=group)
    guard.across.refuse(guard, error)


def _guard_of(optimizer: Optimizer, options: dict[str, Any]) -> Guard:
    """The guard for these options; counters and history go on where the options change."""
    require_one_evaluation(optimizer)
    known: list[tuple[dict[str, Any], Guard]] = vars(optimizer).setdefault(ATTRIBUTE, [])
    for i, (made_with, guard) in enumerate(known):
        if made_with == options:
            if i != len(known) - 1:
                guard.continue_from(known[-1][1])
                known.append(known.pop(i))
            return guard
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        close = difflib.get_close_matches(unknown[0], OPTIONS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise TypeError(
            f"safe_step() has no option {unknown[0]!r}.{hint} Known: {', '.join(OPTIONS)}."
        )
    guard = Guard(optimizer, **options)
    if known:
        guard.continue_from(known[-1][1])
    # A list that the caller changes later is another option then.
    made_with = {k: list(v) if isinstance(v, list) else v for k, v in options.items()}
    known.append((made_with, guard))
    del known[:-KEPT]
    return guard
