"""Find the torch to compile against, and pin the wheel to it.

Two callers: scikit-build-core asks `Provider` for the dependencies of the wheel, and CMake runs
this file as a script, which prints ``folder;version;cuda`` (cuda is ``none`` for a CPU build).

torch's C++ interface changes from one minor version to the next, so a core that was compiled with
one of them must not run with another: the wheel requires ``torch==X.Y.*`` of its build.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import site
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# For an environment that has no torch yet.
DEFAULT_TORCH = "2.13.0"
# `import gradcore` needs torch, numpy and pluggy: rich is the command line's alone, and tomli reads
# configurations where Python's own tomllib is not there yet.
OTHER_DEPENDENCIES = [
    "numpy>=1.24",
    "pluggy>=1.3",
    "rich>=13",
    "tomli>=2; python_version < '3.11'",
]
# Build for this version instead of the installed one, for instance "2.14.1".
FORCED_TORCH = os.environ.get("GRADCORE_BUILD_TORCH", "")


class Torch(NamedTuple):
    """An installed torch: its folder, its version and the CUDA version that it was built with."""

    folder: Path
    version: str
    cuda: str | None

    @property
    def minor(self) -> str:
        """The part of the version that the C++ interface depends on, for instance ``2.13``."""
        return ".".join(self.version.split("+")[0].split(".")[:2])


def find_torch() -> Torch | None:
    """The torch to compile against, or None if there is none yet.

    Reads ``torch/version.py`` and imports nothing: importing torch takes seconds, and fails where
    its own dependencies are hidden by build isolation.
    """
    for folder in _candidates():
        if (folder / "version.py").is_file():
            names = runpy.run_path(str(folder / "version.py"))
            return Torch(folder, names["__version__"], names.get("cuda"))
    return None


def _candidates() -> Iterator[Path]:
    """Folders where torch may be, the most binding first."""
    spec = importlib.util.find_spec("torch")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent
    if FORCED_TORCH:
        return  # what is installed does not count: it is fetched into the build environment
    # An isolated build of pip hides the packages of the environment that is installed into, but is
    # run by its interpreter, whose paths still name them.
    for key in ("platlib", "purelib"):
        yield Path(sysconfig.get_path(key)) / "torch"
    if sys.prefix == sys.base_prefix:
        yield Path(site.getusersitepackages()) / "torch"
    elif _sees_system_packages():
        base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
        yield Path(sysconfig.get_path("platlib", vars=base)) / "torch"


def _sees_system_packages() -> bool:
    """Whether this virtual environment was made with ``--system-site-packages``."""
    settings = Path(sys.prefix) / "pyvenv.cfg"
    if not settings.is_file():
        return False
    lines = settings.read_text(encoding="utf-8").lower().splitlines()
    return "include-system-site-packages = true" in (line.strip() for line in lines)


class Provider:
    """Dynamic metadata of scikit-build-core: the dependencies of sdist and wheel."""

    def __init__(self) -> None:
        self.state = "wheel"

    def build_state(self, state: str) -> None:
        """Remember what is being built: ``sdist``, ``wheel``, ``editable`` or their metadata."""
        self.state = state

    def get_requires_for_dynamic_metadata(self, _settings: Mapping[str, Any]) -> list[str]:
        """What pip puts into the build environment: torch, only where there is none to be found."""
        return [] if find_torch() else [f"torch=={FORCED_TORCH or DEFAULT_TORCH}"]

    def dynamic_metadata(
        self, _settings: Mapping[str, Any], _project: Mapping[str, Any]
    ) -> dict[str, list[str]]:
        """All dependencies: open in an sdist, which fits any torch, pinned in a wheel."""
        torch = None if self.state == "sdist" else find_torch()
        requirement = f"torch=={torch.minor}.*" if torch else "torch>=2.11"
        return {"dependencies": [requirement, *OTHER_DEPENDENCIES]}

    def dynamic_wheel(self, _settings: Mapping[str, Any]) -> dict[str, bool]:
        """The dependencies of a wheel are not those of the sdist that it is built from."""
        return {"dependencies": True}


def main() -> None:
    """Print what CMake needs to know."""
    torch = find_torch()
    if torch is None:
        raise SystemExit(
            f"gradcore is compiled against torch, and {sys.executable} has none. Install torch, "
            "or let pip fetch it: `pip install .` without --no-build-isolation."
        )
    if FORCED_TORCH and not torch.version.startswith(FORCED_TORCH):
        raise SystemExit(
            f"GRADCORE_BUILD_TORCH asks for torch {FORCED_TORCH}, but {torch.folder} is "
            f"{torch.version}. Unset the variable, or build with isolation."
        )
    sys.stdout.write(";".join([torch.folder.as_posix(), torch.version, torch.cuda or "none"]))


if __name__ == "__main__":
    main()
