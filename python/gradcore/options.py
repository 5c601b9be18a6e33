"""What users write for a guard's options, turned into objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcore.nonfinite.skip import Skip
from gradcore.registry import resolve
from gradcore.strategies.global_norm import GlobalNorm

if TYPE_CHECKING:
    from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy


def strategy_of(max_norm: float | None, clip: Any) -> ClipStrategy | None:
    """The strategy that ``max_norm`` and ``clip`` ask for together; None for none.

    Raises:
        ValueError: ``max_norm`` is given beside an object, which has its own.
    """
    if max_norm is None:
        return None if clip is None else resolve("clip", clip)
    if clip is None:
        return GlobalNorm(max_norm)
    if isinstance(clip, str):
        return resolve("clip", (clip, {"max_norm": max_norm}))
    if isinstance(clip, tuple):
        name, options = clip
        if "max_norm" in options:
            raise ValueError(
                f"max_norm is given twice: {max_norm}, and {options['max_norm']} with {name!r}."
            )
        return resolve("clip", (name, {"max_norm": max_norm, **options}))
    raise ValueError(
        "max_norm is an option of a strategy given by name: give it to the object itself."
    )


def policy_of(given: Any) -> NonfinitePolicy:
    """The policy that a user asks for.

    ``"skip"`` is the default, so it is what those get who asked for no name: no plugin is looked at
    for it, and none can be in the way.
    """
    return Skip() if given == "skip" else resolve("nonfinite", given)


def checks_of(given: Any) -> list[HealthCheck]:
    """The checks that a user asks for; ``"default"`` stands for those of `gradcore.checks.DEFAULT`.

    A check that is given beside ``"default"`` takes the place of the one of its name.
    """
    asked = several(given)
    own = [resolve("check", each) for each in asked if each != "default"]
    if len(own) == len(asked):
        return own
    from gradcore.checks import DEFAULT  # noqa: PLC0415 - not needed by those who ask for none

    names = {check.name for check in own}
    return [*(resolve("check", name) for name in DEFAULT if name not in names), *own]


def several(given: Any) -> Sequence[Any]:
    """One thing, or a list or tuple of things, as a sequence.

    A pair of a name and its options is one thing.
    """
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping):  # noqa: PLR2004
        return [given]
    return list(given) if isinstance(given, (list, tuple)) else [given]
