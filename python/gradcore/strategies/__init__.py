"""Ways to bound gradients, one a file: each decides from statistics and never sees a gradient."""

from gradcore.strategies.adaptive import Adaptive
from gradcore.strategies.ema import Ema
from gradcore.strategies.global_norm import GlobalNorm
from gradcore.strategies.per_parameter_norm import PerParameterNorm
from gradcore.strategies.percentile import Percentile
from gradcore.strategies.value import Value

__all__ = ["Adaptive", "Ema", "GlobalNorm", "PerParameterNorm", "Percentile", "Value"]
