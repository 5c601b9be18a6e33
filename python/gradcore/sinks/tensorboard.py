"""Reports to TensorBoard."""

from __future__ import annotations

import os
import socket
import time
import weakref
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gradcore.extras import require_extra
from gradcore.sinks.series import PREFIX, series_of, spread_of_norms

if TYPE_CHECKING:
    from gradcore.report import Report

FLUSH_SECONDS = 10.0


class TensorBoard:
    """Writes curves, a histogram of norms and findings to an event file of TensorBoard.

    Curves are called ``gradcore/norm``, ``gradcore/loss`` and so on; the histogram
    ``gradcore/log10_norms`` shows orders of magnitude of the gradients of single parameters;
    findings are texts, ``gradcore/findings``.  What is written reaches the file after every step
    that is not healthy, every 10 seconds, when the sink is closed, and when the process ends by
    itself; one that is killed loses the rest.  Each run makes an event file of its own, which
    TensorBoard shows as one with those in the same folder.

    Args:
        log_dir: The folder; None for ``runs/<date>_<host>``.
        per_parameter: Also a curve of the norm of each parameter's gradient.

    Raises:
        ImportError: TensorBoard is not installed.
        OSError: The folder cannot be written.
    """

    name: ClassVar[str] = "tensorboard"

    def __init__(
        self, log_dir: str | os.PathLike[str] | None = None, *, per_parameter: bool = False
    ) -> None:
        events = require_extra("tensorboard.summary.writer.event_file_writer", "tensorboard")
        self._events = require_extra("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._summaries = require_extra("tensorboard.compat.proto.summary_pb2", "tensorboard")
        self._tensors = require_extra("tensorboard.util.tensor_util", "tensorboard")
        self._text = require_extra("tensorboard.plugins.text.metadata", "tensorboard")
        self._per_parameter = per_parameter
        self._writer = events.EventFileWriter(os.fspath(log_dir or _new_folder()))
        self._flushed = time.monotonic()
        # The thread that TensorBoard writes in is dropped, with what it holds, when Python exits.
        self._close = weakref.finalize(self, self._writer.close)

    def __call__(self, report: Report) -> None:
        summary = self._summaries.Summary()
        for tag, number in series_of(report, per_parameter=self._per_parameter).items():
            summary.value.add(tag=tag, simple_value=number)
        spread = spread_of_norms(report)
        if spread is not None:
            summary.value.add(tag=PREFIX + "log10_norms", histo=self._histogram(*spread))
        if report.findings:
            summary.value.add(
                tag=PREFIX + "findings",
                metadata=self._text.create_summary_metadata("findings", ""),
                tensor=self._tensors.make_tensor_proto([_markdown(report)]),
            )
        event = self._events.Event(step=report.step, wall_time=time.time(), summary=summary)
        self._writer.add_event(event)
        if not report.healthy or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._close()

    def _histogram(self, counts: Any, edges: Any) -> Any:
        middles = (edges[:-1] + edges[1:]) / 2
        return self._summaries.HistogramProto(
            min=edges[0],
            max=edges[-1],
            num=counts.sum(),
            sum=(counts * middles).sum(),
            sum_squares=(counts * middles**2).sum(),
            bucket_limit=edges[1:],
            bucket=counts,
        )


def _markdown(report: Report) -> str:
    lines = [
        f"* **{found.check}** ({found.severity}): {found.message} {found.recommendation}"
        for found in report.findings
    ]
    return "\n".join(lines)


def _new_folder() -> Path:
    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return Path("runs") / f"{started}_{socket.gethostname()}"
