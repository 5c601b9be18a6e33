"""The loss scale of mixed precision, where it comes to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gradcore.checks.standing import require_reach, said
from gradcore.report import Finding
from gradcore.validation import require_positive

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report, Severity


@dataclass(frozen=True, slots=True)
class LossScale:
    """Warn where the loss scale has collapsed; critical where it is at its floor and of no help.

    Reads `Report.loss_scale` and says nothing without mixed precision.  A scaler begins high and
    comes down by a few halvings in the first steps; one that falls by ``fall`` within ``window``
    has met gradients that overflow whatever they are scaled with.  At its floor are scales of at
    most ``floor`` that gradients still overflow with.  Said at the onset and then every ``again``
    reports; at once where it turns critical.

    Args:
        floor: Scale that leaves nothing to be gained, finite and > 0.
        fall: Factor of a collapse, finite and > 0.
        window: Reports within which it happens, 1 to 100.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.

    Source:
        P. Micikevicius et al., "Mixed Precision Training", ICLR 2018, arXiv 1710.03740, section
        3.2, for what the scale is for; `torch.amp.GradScaler` begins at 65,536 and halves it.
    """

    name: ClassVar[str] = "loss_scale"

    floor: float = 1.0
    fall: float = 1024.0
    window: int = 100
    again: int = 100

    def __post_init__(self) -> None:
        require_positive("floor", self.floor)
        require_positive("fall", self.fall)
        require_reach("window", self.window)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        scale = report.loss_scale
        if scale is None:
            return
        reach = min(self.window, len(history))
        before = [history[-back].loss_scale for back in range(1, reach + 1)]
        highest = max((past for past in before if past is not None), default=scale)
        at_floor = scale <= self.floor and report.nonfinite.total > 0
        if not at_floor and scale * self.fall > highest:
            return
        severity: Severity = "critical" if at_floor else "warning"
        if any(said(history, self.name, severity, self.again)):
            return
        yield Finding(
            check=self.name,
            severity=severity,
            message=f"The loss scale is {scale:.4g}, at most {self.floor:.4g}, and gradients still "
            "overflow."
            if at_floor
            else f"The loss scale fell from {highest:.4g} to {scale:.4g} within {self.window} "
            "steps.",
            recommendation="What overflows is not the scaling: look for the module that does, with "
            "gradcore.monitors.trace_nonfinite(model), and run it in float32; or use bfloat16, "
            "which needs no scale. A lower learning rate helps where activations grow.",
            values={"scale": scale, "highest": highest},
        )
