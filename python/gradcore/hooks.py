"""What a plugin may offer gradcore, and when it is asked.

Every hook runs once, when a `Registry` is filled, and returns classes.  None runs during a training
step, so what else is installed, and in which order, can never change a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy, Sink

PROJECT = "gradcore"

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)
"""Marks the functions of a plugin that are hooks."""


@hookspec
def gradcore_clip_strategies() -> Iterable[type[ClipStrategy]]:
    """Offer ways to bound gradients.

    Returns:
        Classes whose instances are `ClipStrategy`.  Users ask for one by its ``name`` and give its
        constructor's arguments as options.  A name that is already taken is a
        `PluginConflictError`, whoever took it.

    Example:
        >>> @hookimpl
        ... def gradcore_clip_strategies():
        ...     return [MedianClip]
    """


@hookspec
def gradcore_nonfinite_policies() -> Iterable[type[NonfinitePolicy]]:
    """Offer ways to treat NaN and infinite elements, and the step they are found in.

    Returns:
        Classes whose instances are `NonfinitePolicy`; names and options as for strategies.

    Example:
        >>> @hookimpl
        ... def gradcore_nonfinite_policies():
        ...     return [ZeroLoudly]
    """


@hookspec
def gradcore_health_checks() -> Iterable[type[HealthCheck]]:
    """Offer questions to put to every finished report.

    Returns:
        Classes whose instances are `HealthCheck`; names and options as for strategies.

    Example:
        >>> @hookimpl
        ... def gradcore_health_checks():
        ...     return [NormDoubled]
    """


@hookspec
def gradcore_sinks() -> Iterable[type[Sink]]:
    """Offer places to take finished reports to.

    Returns:
        Classes whose instances are `Sink`; names and options as for strategies.

    Example:
        >>> @hookimpl
        ... def gradcore_sinks():
        ...     return [PrintSink]
    """
