"""What looks at finished reports: none of it ever ends a training run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from gradcore.history import History
    from gradcore.protocols import HealthCheck, Sink
    from gradcore.report import Finding, Report

logger: logging.Logger = logging.getLogger("gradcore")

Watcher = TypeVar("Watcher", "HealthCheck", "Sink")


def with_findings(report: Report, checks: list[HealthCheck], history: History) -> Report:
    """The report with what the checks have to say; a check that raises is taken off the list."""
    findings: list[Finding] = []
    _each("check", checks, lambda check: findings.extend(check(report, history)))
    if not findings:
        return report
    healthy = report.healthy and all(finding.severity == "info" for finding in findings)
    return replace(report, findings=tuple(findings), healthy=healthy)


def show(report: Report, checks: list[HealthCheck], history: History, sinks: list[Sink]) -> Report:
    """Show a report to checks, history and sinks; returns it with what the checks have found."""
    if checks:
        report = with_findings(report, checks, history)
    history.append(report)
    if sinks:
        emit(report, sinks)
    return report


def emit(report: Report, sinks: list[Sink]) -> None:
    """Give the report to every sink; one that raises is closed and taken off the list."""
    for failed in _each("sink", sinks, lambda sink: sink(report)):
        close_quietly(failed)


def close(sinks: list[Sink]) -> None:
    """Close every sink, and take it off the list."""
    while sinks:
        close_quietly(sinks.pop(0))


def close_quietly(sink: Sink) -> None:
    """Close a sink that can be closed, and log what it raises."""
    try:
        getattr(sink, "close", lambda: None)()
    except Exception:  # the other sinks still have to be closed
        logger.exception("The sink %r could not be closed.", sink.name)


def _each(kind: str, watchers: list[Watcher], do: Callable[[Watcher], object]) -> list[Watcher]:
    failed = []
    for watcher in watchers:
        try:
            do(watcher)
        except Exception:  # whatever somebody else's code raises
            logger.exception("The %s %r failed and is switched off.", kind, watcher.name)
            failed.append(watcher)
    if failed:
        watchers[:] = [w for w in watchers if not any(w is gone for gone in failed)]
    return failed
