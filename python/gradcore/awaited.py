"""Reports of steps on a device, whose numbers are still on their way."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from gradcore.capturing import in_a_graph
from gradcore.errors import GradcoreError
from gradcore.report import Report

if TYPE_CHECKING:
    from gradcore.guard import Guard


class Replayable(Protocol):
    """A graph."""

    def replay(self) -> object:
        """Do what was captured."""


FIELDS: Final = tuple(Report.__dataclass_fields__)


class Awaited(Report):
    """A report that waits for its numbers when the first of them is read.

    From then on it is like any other.  ``conclude`` gives the report as it is on the host; it is
    called once.
    """

    __slots__ = ("_conclude",)

    _conclude: Callable[[], Report] | None

    @classmethod
    def of(cls, step: int, conclude: Callable[[], Report]) -> Awaited:
        """The report of this step."""
        report = cls.__new__(cls)
        object.__setattr__(report, "step", step)
        object.__setattr__(report, "_conclude", conclude)
        return report

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet."""
        if name not in FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        arrive(self)
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        """Equal to a report that was never on its way, too."""
        if not isinstance(other, Report):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in FIELDS)

    __hash__ = Report.__hash__


class Captured(Awaited):
    """A step as a graph holds it: `replay` takes it, as often as it is called.

    There are no numbers in it.
    """

    __slots__ = ("_again",)

    _again: Callable[[Replayable], Report]

    @classmethod
    def again(cls, step: int, again: Callable[[Replayable], Report]) -> Captured:
        """The report of a guard that has taken so many steps; ``again`` takes one more."""
        report = cls.__new__(cls)
        for name, value in (("step", step), ("_conclude", cls._none_yet), ("_again", again)):
            object.__setattr__(report, name, value)
        return report

    def replay(self, graph: Replayable) -> Report:
        """Call ``graph.replay()``, and return the report of the step in it, which may be awaited.

        Args:
            graph: What was captured, like a `torch.cuda.CUDAGraph`.

        Raises:
            NonfiniteGradientError: What the step before demands, as in `Guard.step`.
        """
        return self._again(graph)

    def __getattr__(self, name: str) -> Any:
        """Called for every number."""
        if name in FIELDS:
            self._none_yet()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @staticmethod
    def _none_yet() -> NoReturn:
        raise GradcoreError(
            "This step was captured in a graph and not taken: report.replay(graph) takes it, and "
            "returns a report with numbers."
        )


def counted(report: Report) -> int:
    """How many steps a report stands for."""
    return 0 if isinstance(report, Captured) else 1


def pending(report: Report) -> bool:
    """Whether reading the report may wait."""
    return getattr(report, "_conclude", None) is not None


def arrive(report: Report) -> None:
    """Wait for the numbers of a report, if it has none yet."""
    conclude = getattr(report, "_conclude", None)
    if conclude is None:
        return
    object.__setattr__(report, "_conclude", None)
    concluded = conclude()
    for name in FIELDS:
        object.__setattr__(report, name, getattr(concluded, name))


class Last:
    """The report of a guard's last step as long as it is on its way, and what is owed for it.

    A guard is never more than one step ahead of what it knows: before the next step it takes in the
    report of the last, and raises what that demands.
    """

    def __init__(self) -> None:
        self.report: Report | None = None
        self.error: GradcoreError | None = None

    def take_in(self, *, forget: bool = False) -> None:
        """Wait for the report, and let everybody see it; what it demands can be forgotten.

        Raises:
            GradcoreError: A graph is being captured, for which nothing can be waited.
        """
        if self.report is not None and pending(self.report) and in_a_graph():
            raise GradcoreError(
                f"The numbers of step {self.report.step} are still on their way: read one, as in "
                "report.norm, before a step is captured in a graph."
            )
        report, self.report = self.report, None
        if report is not None:
            arrive(report)
        if forget:
            self.error = None

    def settle(self) -> None:
        """The same, and raise what it demands."""
        self.take_in()
        error, self.error = self.error, None
        if error is not None:
            raise error


UNFINISHED: Final[weakref.WeakSet[Guard]] = weakref.WeakSet()
"""Guards that have stepped on a device: sinks see the last report at the end of the process too."""


@atexit.register
def _take_in_all() -> None:
    for guard in list(UNFINISHED):
        guard.last.take_in()
