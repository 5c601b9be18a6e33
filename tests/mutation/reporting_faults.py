"""Faults of what is told: functions, reports, history, logs, findings, and what is installed."""

from __future__ import annotations

from fault import Fault

G = "python/gradcore"
MACHINE = "tests/hostile/test_guard_machine.py"

REPORTING = (
    Fault(
        "the history hands out the step before the newest",
        f"{G}/ring.py",
        "(self._start + index) % self._room",
        "(self._start + index - 1) % self._room",
        ("tests/test_ring.py",),
    ),
    Fault(
        "a full history does not drop its oldest",
        f"{G}/ring.py",
        "self._start = (self._start + 1) % self._room",
        "self._start = self._start % self._room",
        ("tests/test_ring.py", "tests/test_history.py"),
    ),
    Fault(
        "the drop-in clip divides by the norm without its epsilon",
        f"{G}/functional.py",
        "div_(norm + EPSILON)",
        "div_(norm)",
        ("tests/test_functional.py",),
    ),
    Fault(
        "the first parameter with a fault in the order of the model is named",
        f"{G}/reporting.py",
        "first = int(np.flatnonzero(bad)[-1])",
        "first = int(np.flatnonzero(bad)[0])",
        ("tests/test_report.py", MACHINE),
    ),
    Fault(
        "minus infinity is logged as infinity",
        f"{G}/logfile/values.py",
        '"Infinity" if value > 0 else "-Infinity"',
        '"Infinity"',
        ("tests/logfile",),
    ),
    Fault(
        "a shared parameter is measured twice",
        f"{G}/parameters.py",
        "seen.setdefault(id(tensor), (name, tensor))",
        "seen.setdefault(len(seen), (name, tensor))",
        (
            "tests/test_guard.py",
            "tests/test_shared_memory.py",
            "tests/test_coverage_of_parameters.py",
        ),
    ),
    Fault(
        "large elements that stay are in no norm",
        f"{G}/reporting.py",
        "    if outcome.norm_before is not None:\n        return outcome.norm_before\n",
        "",
        ("tests/nonfinite/test_detect.py", MACHINE),
    ),
    Fault(
        "a torn last line is an error",
        f"{G}/logfile/reading.py",
        'if not line.endswith(b"\\n") and self._may_be_torn(line):',
        "if False:",
        ("tests/logfile",),
    ),
    Fault(
        "a log takes as much memory as it claims",
        f"{G}/logfile/reading.py",
        "file.readline(MAX_LINE + 1)",
        "file.readline(8 * MAX_LINE)",
        ("tests/logfile", "tests/test_security.py"),
    ),
    Fault(
        "a name closes the script that it stands in",
        f"{G}/page/escaping.py",
        'for character in "<>&":',
        'for character in "&":',
        ("tests/page/test_escaping.py", "tests/page/test_page.py"),
    ),
    Fault(
        "a terminal obeys the names of a log",
        f"{G}/printable.py",
        "each if each.isprintable() else each.encode",
        "each if True else each.encode",
        ("tests/test_security.py",),
    ),
    Fault(
        "a sink that raises is kept",
        f"{G}/watching.py",
        "watchers[:] = [w for w in watchers if not any(w is gone for gone in failed)]",
        "pass",
        ("tests/test_watching.py",),
    ),
    Fault(
        "the second plugin of a name is passed by without a word",
        f"{G}/catalogue.py",
        "self.conflicts.append((offer, PluginConflictError(message)))",
        "str(message)",
        ("tests/test_registry.py", "tests/test_registry_faults.py"),
    ),
    Fault(
        "a spike is compared with itself",
        f"{G}/checks/spike.py",
        "if not report.norm >= limit > before[-1]:",
        "if not report.norm >= limit > report.norm:",
        ("tests/checks/test_spike.py",),
    ),
    Fault(
        "a gradient of NaN alone counts as dead",
        f"{G}/checks/dead.py",
        " & (bad == 0.0)\n",
        "\n",
        ("tests/checks/test_dead.py",),
    ),
)
