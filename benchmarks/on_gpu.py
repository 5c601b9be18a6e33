"""Build gradcore on a machine with a GPU, test it there, and time it: one command.

    python benchmarks/on_gpu.py [--quick]

What each step prints is shown; a step that fails does not keep the next ones from running, except
that nothing is timed whose tests fail.  README.md beside this says what a bare machine needs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIP = (sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
BUILD = (*PIP, "-Ccmake.define.GRADCORE_CUDA=ON", ".")

KERNELS = (*PYTEST, "tests/cuda")
STEPS = (*PYTEST, "--device", "cuda", "tests/on_device")
# With everything that torch makes without a word about devices made on the GPU.  Left out: what
# starts processes of its own, and the C++ tests, which say nothing about this card.
SUITE = (
    *(*PYTEST, "--device", "cuda", "tests/test_guard.py", "tests/test_skip.py"),
    *("tests/test_repair.py", "tests/test_report.py", "tests/strategies", "tests/nonfinite"),
)
SANITIZED = {
    "memcheck": (*PYTEST, "tests/cuda", "-k", "small or layouts or repairs"),
    "racecheck": (*PYTEST, "tests/cuda", "-k", "fault"),
}


def run(name: str, *command: str) -> bool:
    """Run a step, say how long it took, and return whether it succeeded."""
    print(f"\n==> {name}: {' '.join(command)}", flush=True)
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - ours
    verdict = "passed" if done.returncode == 0 else f"FAILED ({done.returncode})"
    print(f"==> {name}: {verdict}, {time.perf_counter() - begun:.0f} s", flush=True)
    return done.returncode == 0


def main() -> None:
    """Every step; the exit status says whether all succeeded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no 7B lists")
    quick = ["--quick"] if parser.parse_args().quick else []
    if not run("build", *BUILD):
        sys.exit("gradcore was not built; benchmarks/README.md says what a machine needs.")
    tested = [run("kernels", *KERNELS), run("steps", *STEPS), run("suite", *SUITE)]
    if checker := shutil.which("compute-sanitizer"):
        tested += [
            run(tool, checker, "--tool", tool, "--error-exitcode", "1", *command)
            for tool, command in SANITIZED.items()
        ]
    else:
        print("\ncompute-sanitizer was not found: memcheck and racecheck are left out.")
    if not tested[0]:
        sys.exit("The kernels are not right on this card, so they are not timed.")
    timed = run("times", sys.executable, "benchmarks/gpu.py", *quick)
    sys.exit(0 if timed and all(tested) else 1)


if __name__ == "__main__":
    main()
