"""What speed is aimed at, as ratios; each goal knows which rows of the table it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORT: Final = frozenset({"bfloat16", "float16"})

LARGE: Final = frozenset({"resnet50", "gpt2", "one-big"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how long gradcore and torch took, in pure reads of the gradients."""

    workload: str
    dtype: str
    threads: int
    case: str
    reads: float
    """Of gradcore, in times that reading every byte once takes: the least of several rounds."""
    torch_reads: float
    median: float
    """The same of the median round, in median times of a read."""
    torch_median: float
    noise: float
    """How far the median of a call lies above its minimum, at most, as a share of that."""

    @property
    def speedup(self) -> float:
        """How many times as long torch took."""
        return self.torch_reads / self.reads


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on the reads that a row takes at most, or on the times it is faster than torch."""

    case: str
    dtypes: frozenset[str]
    workloads: frozenset[str] = LARGE
    threads: int | None = None
    """None for any number."""
    reads: float | None = None
    speedup: float | None = None

    def is_about(self, row: Row) -> bool:
        """Whether this is a goal of that row."""
        return (
            row.case == self.case
            and row.dtype in self.dtypes
            and row.workload in self.workloads
            and self.threads in {None, row.threads}
        )

    def met_by(self, row: Row) -> bool:
        """Whether the row meets it."""
        if self.reads is not None and row.reads > self.reads:
            return False
        return self.speedup is None or row.speedup >= self.speedup

    def __str__(self) -> str:
        parts = []
        if self.reads is not None:
            parts.append(f"at most {self.reads:g} reads")
        if self.speedup is not None:
            parts.append(f"{self.speedup:g} x torch")
        return ", ".join(parts)


FLOAT32: Final = frozenset({"float32"})
WIDE: Final = frozenset({"float32", "float64", "complex64"})

GOALS: Final = (
    Goal("measure", WIDE | SHORT, reads=1.3),
    Goal("measure everything", WIDE, reads=1.6),
    Goal("measure everything", SHORT, reads=1.4),
    Goal("clip", WIDE, reads=2.4),
    Goal("clip", SHORT, reads=2.6),
    Goal("clip", FLOAT32, threads=1, speedup=1.02),
    Goal("clip", FLOAT32, threads=2, speedup=1.5),
    Goal("clip, within bounds", FLOAT32, threads=1, speedup=2.1),
    Goal("clip, within bounds", FLOAT32, threads=2, speedup=3.1),
    Goal("clip, within bounds", frozenset({"bfloat16"}), speedup=2.9),
    Goal("clip, within bounds", frozenset({"float16"}), speedup=6.0),
    Goal("clip, within bounds", frozenset({"complex64"}), speedup=10.0),
    Goal("clip, within bounds", FLOAT32, frozenset({"many-small"}), speedup=20.0),
    Goal("clip, within bounds", FLOAT32, frozenset({"tiny"}), speedup=1.0),
    Goal("repair one and clip", FLOAT32, threads=1, speedup=2.0),
    Goal("repair one and clip", FLOAT32, threads=2, speedup=2.4),
    Goal("repair one and clip", SHORT, speedup=5.0),
)


def goals_of(row: Row) -> list[Goal]:
    """Goals that a row is measured by."""
    return [goal for goal in GOALS if goal.is_about(row)]
