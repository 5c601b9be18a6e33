"""Try other numbers for the kernels on the GPU at hand: threads, resident blocks, loads in flight.

    python benchmarks/gpu_variants.py [--arch native]

Needs nvcc and a GPU, not torch.  Prints a block of times a variant; `cpp/cuda/tuning.hpp` has the
numbers that are built in, and those come first.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("THREADS", "RESIDENT", "IN_FLIGHT", "UNITS_TO_BEGIN")
VARIANTS = (
    (256, 4, 4, 2),
    (256, 4, 4, 2),  # again: differences smaller than these two's are noise
    (256, 4, 4, 1),
    (256, 4, 4, 4),
    (256, 6, 2, 2),
    (256, 8, 2, 2),
    (256, 3, 6, 2),
    (256, 2, 8, 2),
    (512, 2, 4, 2),
    (512, 4, 2, 2),
    (128, 8, 4, 2),
)


def build(nvcc: str, arch: str, variant: tuple[int, ...], program: Path) -> None:
    """Compile the kernels with these numbers."""
    defines = [f"-DGRADCORE_CUDA_{n}={v}" for n, v in zip(NAMES, variant, strict=True)]
    source = ROOT / "benchmarks/gpu_variants.cu"
    flags = ["-std=c++17", "-O3", "-fmad=false", f"-arch={arch}", f"-I{ROOT / 'cpp'}"]
    subprocess.run([nvcc, *flags, *defines, source, "-o", program], check=True)  # noqa: S603


def main() -> None:
    """Build all variants, then run them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", default="native", help="as nvcc takes it (native)")
    parser.add_argument("--build-only", action="store_true", help="compile and run nothing")
    options = parser.parse_args()
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    with tempfile.TemporaryDirectory() as folder:
        programs = [Path(folder) / f"variant{number}" for number in range(len(VARIANTS))]
        with ThreadPoolExecutor() as pool:
            jobs = [
                pool.submit(build, nvcc, options.arch, variant, program)
                for variant, program in zip(VARIANTS, programs, strict=True)
            ]
            for job in jobs:
                job.result()
        for variant, program in zip(VARIANTS, programs, strict=True):
            print(", ".join(f"{n.lower()} {v}" for n, v in zip(NAMES, variant, strict=True)))
            if not options.build_only:
                subprocess.run([program], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
