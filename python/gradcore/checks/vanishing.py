"""Gradients too small to change anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gradcore.checks.layers import gradient_norms
from gradcore.checks.standing import Mask, in_a_row, require_reach, unsaid
from gradcore.checks.wording import counted, listed
from gradcore.report import Finding
from gradcore.validation import require_positive

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.report import Report, Severity


@dataclass(frozen=True, slots=True)
class Vanishing:
    """Warn of layers whose gradient is next to nothing; critical where it is so of all layers.

    A layer is a module with the parameters that it holds itself, and its norm that of all of them:
    a bias before a normalisation has a gradient of rounding errors and yet is no sign of anything.
    A gradient of exactly zero is for `Dead` to tell.  Said of a layer at its onset and then every
    ``again`` reports.

    Args:
        below: Norm of a layer's gradient that is too small, finite and > 0.
        steps: Reports in a row it must be so in, 1 to 100.
        again: Reports until a lasting condition is said once more, 1 to 100.

    Raises:
        ValueError: An option is out of its range.
    """

    name: ClassVar[str] = "vanishing"

    below: float = 1e-7
    steps: int = 3
    again: int = 100

    def __post_init__(self) -> None:
        require_positive("below", self.below)
        require_reach("steps", self.steps)
        require_reach("again", self.again)

    def __call__(self, report: Report, history: History) -> Iterator[Finding]:
        if not report.parameters:
            return
        small = in_a_row(report, history, self.steps, self._small)
        if not small.any():
            return
        layers, norms = gradient_norms(report.parameters)
        everywhere = bool(small[norms > 0.0].all())
        severity: Severity = "critical" if everywhere else "warning"
        names = [name for i in np.flatnonzero(small) for name in layers.members[i]]
        new = set(unsaid(names, history, self.name, severity, self.again))
        concerned = [i for i in np.flatnonzero(small) if not new.isdisjoint(layers.members[i])]
        if not concerned:
            return
        which = [layers.names[i] for i in concerned]
        yield Finding(
            check=self.name,
            severity=severity,
            message=f"The gradient of {counted(len(which), 'layer')} is smaller than "
            f"{self.below:.3g}{', as it is everywhere' if everywhere else ''}: {listed(which)}, "
            f"down to {norms[concerned].min():.3g}.",
            recommendation="Give the signal a shorter way: residual connections, normalisation, "
            "activations that do not saturate (GELU, SiLU), or an initialisation for the depth. In "
            "float16 scale the loss.",
            parameters=tuple(name for i in concerned for name in layers.members[i]),
            values={
                "layers": float(len(which)),
                "smallest": float(norms[concerned].min()),
                "below": self.below,
            },
        )

    def _small(self, report: Report) -> Mask:
        _, norms = gradient_norms(report.parameters)
        return (norms > 0.0) & (norms < self.below)
