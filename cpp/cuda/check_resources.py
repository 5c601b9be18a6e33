"""Compile every kernel for every architecture and refuse spills and local memory.

    python cpp/cuda/check_resources.py [--nvcc PATH] [--archs 80,90,100,120] [--verbose]

Needs nvcc, no GPU and no torch.  A kernel that keeps values in local memory ("stack frame" in the
compiler's report) reads and writes them through the memory it is there to read quickly.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=c++17", "-fmad=false", "-Xptxas", "-v", "-cubin", "--Werror", "all-warnings")


@dataclass(frozen=True)
class Kernel:
    """What the compiler says of one kernel."""

    name: str
    registers: int
    stack: int
    spills: int


def compile_for(nvcc: str, source: Path, arch: str, folder: Path) -> list[Kernel]:
    """Compile one source for one architecture and read the compiler's report."""
    output = folder / f"{source.stem}.{arch}.cubin"
    command = [nvcc, *FLAGS, f"-arch=sm_{arch}", f"-I{HERE.parent}", "-o", output, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        sys.exit(f"{source.name} does not compile for sm_{arch}:\n{done.stdout}{done.stderr}")
    kernels = []
    for part in done.stderr.split("Compiling entry function '")[1:]:
        stack, stores, loads = re.findall(
            r"(\d+) bytes (?:stack frame|spill stores|spill loads)", part
        )[:3]
        registers = re.search(r"Used (\d+) registers", part)
        if registers is None:
            sys.exit(f"No register count in the compiler's report of {source.name}, sm_{arch}.")
        name = short_name(part.partition("'")[0])
        kernels.append(Kernel(name, int(registers[1]), int(stack), int(stores) + int(loads)))
    return kernels


def short_name(mangled: str) -> str:
    """``measure BFloat16 x1 mode 0 capacity 160`` for a mangled kernel name."""
    verb = re.search(r"(measure|finish|apply)_kernel", mangled)
    kind = re.search(r"\d(B?Float\d+)ELi(\d)E", mangled)
    mode = re.search(r"ModeE(\d)E", mangled)
    capacity = re.search(r"E?Li(\d{3,})EEE", mangled)
    return " ".join(
        [verb[1] if verb else mangled]
        + ([f"{kind[1]} x{kind[2]}"] if kind else [])
        + ([("norm", "all", "lp")[int(mode[1])]] if mode else [])
        + ([capacity[1]] if capacity else [])
    )


def main() -> None:
    """Compile, print, and exit with 1 if a kernel uses local memory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    parser.add_argument("--nvcc", default=default, help=f"the compiler ({default})")
    parser.add_argument("--archs", default="80,90,100,120", help="comma-separated (80,90,100,120)")
    parser.add_argument("--verbose", action="store_true", help="print every kernel")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for arch in options.archs.split(","):
            for source in sorted(HERE.glob("*.cu")):
                kernels = compile_for(options.nvcc, source, arch, Path(folder))
                most = max(kernel.registers for kernel in kernels)
                print(f"sm_{arch} {source.name}: {len(kernels)} kernels, at most {most} registers")
                for kernel in kernels:
                    wrong = kernel.stack > 0 or kernel.spills > 0
                    bad += wrong
                    if wrong or options.verbose:
                        print(
                            f"  {kernel.name}: {kernel.registers} registers, "
                            f"{kernel.stack} bytes of stack, {kernel.spills} of spills"
                        )
    if bad:
        sys.exit(
            f"{bad} kernels use local memory: give them fewer resident blocks or less to hold."
        )


if __name__ == "__main__":
    main()
