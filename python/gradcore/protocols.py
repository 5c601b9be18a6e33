"""What a strategy, a policy, a check and a sink look like.  Nothing inherits from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gradcore.history import History
    from gradcore.plan import Plan
    from gradcore.report import Finding, Report
    from gradcore.statistics import Statistics


@runtime_checkable
class ClipStrategy(Protocol):
    """Decides how to bound the gradients of one step.  Sees statistics, never gradients.

    May have ``needs``, a tuple of names of statistics it reads beyond those always there, and
    ``norm_type``, the order of the norm ``lp`` if that is one of them, and ``unit_axis``, the axis
    of a unit (default 0) if ``unit_l2`` is.  One with memory is an
    `torch.nn.Module` that keeps its memory in buffers and learns only where `Statistics.trusted`
    (`Statistics.learnable` if it is norms that it remembers); a guard moves it to the device of the
    statistics.  Guards that are given the same object share its memory: give each its own, or a
    name, unless that is what you want.

    May have ``bind(names: Sequence[str]) -> None``: a guard calls it with the names of the rows
    when it is made, before any state is loaded, and again in a step before which parameters were
    added or removed.  It is the place to match patterns, with a `ValueError` for one that matches
    nothing, and to make buffers with a row a parameter.
    """

    name: ClassVar[str]
    """What users write to ask for it: lower case, words joined by underscores."""

    def __call__(self, statistics: Statistics, /) -> Plan:
        """Return what to do.  Tensor arithmetic only: no ``.item()``, no branch on a value."""
        ...


@runtime_checkable
class NonfinitePolicy(Protocol):
    """Decides what becomes of non-finite elements, and of the step.  Sees statistics alone.

    May have ``needs`` like a strategy; ``overflow``, a magnitude beyond which an element counts as
    infinite (default: infinity); ``replacement``, the `Replace` it is going to return, so that
    norms are measured with the values in place; and ``passes_nonfinite``, true if it lets
    non-finite elements through, which `gradcore.testing.check_policy` forbids all others.  One that
    may return `Restore` has ``snapshot_every``, the trusted steps between snapshots, and may have
    ``device``, where they are held.  May have ``bind(names)`` like a strategy; one with memory is a
    module with buffers like a strategy.
    """

    name: ClassVar[str]
    """What users write to ask for it: lower case, words joined by underscores."""

    def __call__(self, statistics: Statistics, /) -> Plan:
        """Return what to do.  Called every step; untrusted ones are those with an event."""
        ...


@runtime_checkable
class HealthCheck(Protocol):
    """Reads a finished report and says what is wrong with it, if anything."""

    name: ClassVar[str]
    """What users write to ask for it: lower case, words joined by underscores."""

    def __call__(self, report: Report, history: History, /) -> Iterable[Finding]:
        """Return findings; ``history`` holds the reports before this one."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Takes finished reports somewhere.  May have ``close()``."""

    name: ClassVar[str]
    """What users write to ask for it: lower case, words joined by underscores."""

    def __call__(self, report: Report, /) -> None:
        """Take one report."""
        ...
