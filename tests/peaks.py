"""How much memory a program needed, for tests that run one of its own."""

from __future__ import annotations

PEAK = """
def peak():
    import pathlib, re
    # What getrusage tells begins with what the parent held when it forked, this does not.
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search("VmHWM:\\\\s+(\\\\d+) kB", status)[1])
"""
"""Source of a function that returns the largest number of bytes the program has held so far."""
