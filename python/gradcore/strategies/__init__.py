"""Ways to bound gradients, one a file: each decides from statistics and never sees a gradient."""

from gradcore.strategies.global_norm import GlobalNorm
from gradcore.strategies.value import Value

__all__ = ["GlobalNorm", "Value"]
