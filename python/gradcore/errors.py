"""Everything gradcore raises on purpose: a `GradcoreError`, and what a caller would expect."""

from __future__ import annotations


class GradcoreError(Exception):
    """Any error that gradcore raises about the work it was given."""


class NonfiniteGradientError(GradcoreError, ArithmeticError):
    """Gradients, loss or parameters hold NaN or infinite numbers, and the policy says to stop."""


class UnknownPluginError(GradcoreError, LookupError):
    """No strategy, policy, check or sink is registered under the name that was asked for."""


class PluginConflictError(GradcoreError, RuntimeError):
    """Two plugins offer the same name."""


class PluginError(GradcoreError, RuntimeError):
    """A plugin could not be imported, or broke the contract of what it offers."""


class ScalerError(GradcoreError, RuntimeError):
    """A scaler of mixed precision was used out of order, or its scale has collapsed."""


class DistributedError(GradcoreError, RuntimeError):
    """Ranks cannot decide together; raised on all of them alike."""


class MonitorError(GradcoreError, RuntimeError):
    """A monitor was used in a way that would make what it says wrong."""


class LogError(GradcoreError, ValueError):
    """A file is not the log of a run, is damaged, or was written by a newer gradcore."""


class DamagedLogError(LogError):
    """A line of the log of a run cannot be read; others may."""
