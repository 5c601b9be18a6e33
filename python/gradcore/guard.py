"""The arrow: collect, measure, decide, apply, step, report, check, sink."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from gradcore import checkpoint
from gradcore.attachment import Attachment, attach
from gradcore.awaited import Last, counted, pending
from gradcore.beginning import begun
from gradcore.binding import Binding
from gradcore.distributed.across import Across
from gradcore.history import History
from gradcore.measuring import Measuring
from gradcore.options import checks_of, policy_of, several, strategy_of
from gradcore.parameters import Parameters, Target
from gradcore.protection import protect
from gradcore.registry import resolve
from gradcore.rollback import Rollback
from gradcore.streak import Streak
from gradcore.validation import require_count
from gradcore.watching import close, show

if TYPE_CHECKING:
    from torch import Tensor
    from torch.amp import GradScaler
    from torch.distributed import ProcessGroup
    from torch.optim import Optimizer

    from gradcore.protocols import ClipStrategy, HealthCheck, NonfinitePolicy, Sink
    from gradcore.report import Report


class Guard:
    """Keeps the gradients of some parameters healthy between ``backward()`` and ``step()``.

    ``clip``, ``nonfinite``, each check and each sink is an object, a registered name, or
    ``(name, options)``.

    Args:
        target: A module, an optimizer, parameters, or (name, parameter) pairs.
        max_norm: Largest joint Euclidean norm allowed, > 0; the option of that name of ``clip``,
            which is ``"global_norm"`` if only this is given.  None and no ``clip``: no clipping.
        clip: The strategy that bounds gradients.
        nonfinite: The policy for NaN and infinite gradients, and a non-finite loss.
        checks: What is asked of every report; ``"default"`` for those of `gradcore.checks.DEFAULT`,
            and ``["default", ...]`` for them and others.
        sinks: Where reports go.
        history: How many reports are kept, >= 1.
        every: Checks, sinks and history look at every so-manieth step; protection never rests.
        max_consecutive: The so-manieth non-finite step in a row raises; None or inf for never.
        needs: Statistics that reports should hold beyond those always there; see `measure`.
        check_parameters: Look at the parameters themselves too, which is one more read: one that
            is not finite makes the step a non-finite one, and policies repair it like a gradient.
        process_group: Ranks that decide together, each with a guard like this one: found for
            DTensors; given for pipeline stages, maybe empty, and for replicas that are compared.

    Raises:
        ValueError: The target is empty, an option cannot be, or a pattern matches no name.
        TypeError: The target holds something that is no tensor.
        UnknownPluginError: A name is not registered.

    Example:
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> guard = Guard(model, max_norm=1.0)
        >>> model(torch.tensor([[3.0, float("nan")]])).sum().backward()
        >>> guard.step(optimizer).skipped
        True
    """

    def __init__(
        self,
        target: Target,
        *,
        max_norm: float | None = None,
        clip: Any = None,
        nonfinite: Any = "skip",
        checks: Any = (),
        sinks: Any = (),
        history: int = 1000,
        every: int = 1,
        max_consecutive: float | None = 100,
        needs: Iterable[str] | str = (),
        check_parameters: bool = False,
        process_group: ProcessGroup | None = None,
    ) -> None:
        self.parameters: Parameters = Parameters(target, may_be_empty=process_group is not None)
        self.clip: ClipStrategy | None = strategy_of(max_norm, clip)
        self.nonfinite: NonfinitePolicy = policy_of(nonfinite)
        self.checks: list[HealthCheck] = checks_of(checks)
        self.sinks: list[Sink] = [resolve("sink", sink) for sink in several(sinks)]
        self.recorded: History = History(require_count("history", history))
        self.every: int = require_count("every", every)
        self.streak: Streak = Streak(max_consecutive)
        watchers: list[HealthCheck | Sink] = [*self.checks, *self.sinks]
        deciders = self.nonfinite, self.clip
        self.measuring: Measuring = Measuring(
            *deciders, watchers, needs, check_parameters=check_parameters
        )
        self.across: Across = Across(process_group)
        self.bind: Binding = Binding(self.nonfinite, self.clip)
        if process_group is None:  # else the first step tells the names of all ranks
            self.bind(self.names)
        self.rollback: Rollback | None = Rollback.of(self.nonfinite)
        self.stepping: Optimizer | None = None
        self.steps: int = 0
        self.attached: bool = False
        self.last: Last = Last()

    @classmethod
    def from_config(cls, target: Target, config: Any, **options: Any) -> Guard:
        """A guard with the options of a `GuardConfig`, a dict or a TOML file, or of ``options``."""
        from gradcore.config import GuardConfig  # noqa: PLC0415 - it knows the options of Guard

        return GuardConfig.of(config).guard(target, **options)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the guarded parameters, in the order of the rows of statistics and reports."""
        return self.parameters.names

    @property
    def history(self) -> History:
        """Reports of the steps so far; on a device, reading it may wait for the last of them."""
        self.last.take_in()
        return self.recorded

    @property
    def snapshot_bytes(self) -> int:
        """What the last snapshot takes; 0 before the first, and where the policy wants none."""
        return 0 if self.rollback is None else self.rollback.nbytes

    def step(
        self,
        optimizer: Optimizer,
        *,
        loss: Tensor | float | None = None,
        scaler: GradScaler | None = None,
    ) -> Report:
        """Measure, decide, repair, clip; step unless the step is skipped; report.

        A skip does not call ``optimizer.step()``: all is left as it was, gradients too.  Otherwise
        ``.grad`` is clipped afterwards, maybe by the optimizer: see `Report.scaled_by_optimizer`.

        Args:
            optimizer: Any optimizer that takes a step without a closure.
            loss: The loss, one real number; a non-finite one makes the step a non-finite one.
            scaler: What scaled the loss, in mixed precision: this call stands for
                ``scaler.step(optimizer)`` and unscales in the same pass; ``scaler.update()`` is up
                to the caller. All else is about unscaled gradients. Where one is not finite the
                scale backs off whatever the policy, and only one that repairs takes the step.

        Raises:
            NonfiniteGradientError: The policy stops, or ``max_consecutive`` was reached; nothing
                was changed.
            GradcoreError: The optimizer steps parameters that are not guarded, or has another
                guard attached; or the scaler was used out of order.
            TypeError: A gradient cannot be measured, or the optimizer needs a closure.
        """
        step = begun(self, optimizer, scaler, steps=True)
        report = protect(self, loss, optimizer, step)
        if pending(report) or not report.skipped:
            self.stepping = optimizer
            try:
                step.take(optimizer)
            finally:
                self.stepping = None
        step.tell_stepped()
        return self.finish(report)

    def apply(
        self,
        *,
        loss: Tensor | float | None = None,
        optimizer: Optimizer | None = None,
        scaler: GradScaler | None = None,
    ) -> Report:
        """Everything but ``optimizer.step()``, for loops that step elsewhere.

        A skip sets the gradients of the guarded parameters to None, so that the ``step()`` to come
        changes nothing.  Arguments and errors are those of `step`; ``optimizer`` is the one that
        will step, so that parameters of it that are not guarded are noticed, and that its state can
        be rolled back: where it is unknown a policy that restores rolls back parameters alone.
        With ``scaler``, which needs it, this stands for ``scaler.unscale_(optimizer)``: a step that
        ``scaler.step()`` is not going to take is a skip, whatever the policy.
        """
        step = begun(self, optimizer, scaler, steps=False)
        report = protect(self, loss, optimizer, step)
        if not pending(report) and report.skipped:
            for parameter in self.parameters.tensors:
                parameter.grad = None
        return self.finish(report)

    def attach(self, optimizer: Optimizer) -> Attachment:
        """From now on ``optimizer.step()`` is guarded, with a closure or without.

        Returns a handle with ``remove()``; the same one if this guard is attached already.  It is
        not part of a copy of the optimizer: attach to the copy anew.

        Raises:
            TypeError: The optimizer evaluates its closure several times a step (LBFGS).
            GradcoreError: Another guard is attached to the optimizer.
        """
        return attach(self, optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Everything with memory, as tensors and plain values; snapshots are taken anew."""
        return checkpoint.state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the guard that gave ``state`` stopped.

        Raises:
            ValueError: It is of another format, or of a guard with another strategy or policy.
            RuntimeError: The memory in it does not fit the strategy.
        """
        checkpoint.load_into(self, state)

    def continue_from(self, other: Guard) -> None:
        """Go on with the counters and the history of another guard."""
        checkpoint.continue_from(self, other)

    def close(self) -> None:
        """Flush and close the sinks; raises what the last step on a device demands."""
        self.last.take_in()
        close(self.sinks)
        self.last.settle()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A guard cannot be copied or pickled: it belongs to its parameters. Give a new one the "
            "state_dict() of this one."
        )

    def __enter__(self) -> Guard:  # noqa: PYI034 - nobody inherits from it
        return self

    def __exit__(self, *exception: object) -> None:
        self.last.take_in(forget=exception[0] is not None)
        self.close()

    def finish(self, report: Report) -> Report:
        """Show a step that is over to checks, history and sinks, as often as they look."""
        looking = self.steps % self.every == 0
        self.steps += counted(report)
        if not looking or pending(report):
            return report
        return show(report, self.checks, self.recorded, self.sinks)
