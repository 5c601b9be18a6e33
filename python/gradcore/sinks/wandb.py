"""Reports to Weights & Biases."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from gradcore.extras import require_extra
from gradcore.sinks.series import PREFIX, series_of, spread_of_norms

if TYPE_CHECKING:
    from gradcore.report import Report

logger: logging.Logger = logging.getLogger("gradcore")

STEP = PREFIX + "step"


class WeightsAndBiases:
    """Logs curves and a histogram of norms to a run of Weights & Biases.

    The run that is active is joined; if there is none, one is begun, and finished when the sink is
    closed.  Curves are called ``gradcore/norm``, ``gradcore/loss`` and so on, and are drawn over
    ``gradcore/step``; ``gradcore/log10_norms`` is a histogram of the orders of magnitude of the
    gradients of single parameters.  ``run.log`` is called once a report and without ``step``: who
    logs to the same run does so too, since W&B drops what is logged for a step that is over.

    Args:
        project: Of the run to begin.
        per_parameter: Also a curve of the norm of each parameter's gradient.
        options: What else `wandb.init` takes, such as ``mode="offline"``.

    Raises:
        ImportError: W&B is not installed.
    """

    name: ClassVar[str] = "wandb"

    def __init__(
        self, project: str | None = None, *, per_parameter: bool = False, **options: Any
    ) -> None:
        self._wandb = require_extra("wandb", "wandb")
        self._per_parameter = per_parameter
        active = self._wandb.run
        if active is not None and (project is not None or options):
            logger.warning(
                "The W&B run %r is active and is joined: project and options of the sink 'wandb' "
                "are not used.",
                active.name,
            )
        self._is_own = active is None
        self._run = self._wandb.init(project=project, **options) if active is None else active
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric(PREFIX + "*", step_metric=STEP)

    def __call__(self, report: Report) -> None:
        numbers: dict[str, Any] = {STEP: report.step}
        numbers |= series_of(report, per_parameter=self._per_parameter)
        spread = spread_of_norms(report)
        if spread is not None:
            numbers[PREFIX + "log10_norms"] = self._wandb.Histogram(np_histogram=spread)
        self._run.log(numbers)

    def close(self) -> None:
        """Finish the run if the sink began it."""
        if self._is_own:
            self._run.finish()
