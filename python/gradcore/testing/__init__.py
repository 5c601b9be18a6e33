"""What a strategy, a policy, a check and a sink have to keep to, as calls for tests of plugins.

Each takes a class, or a function that makes one, and the options to make it with.  It is made and
used many times over, on planted gradients and with a real `gradcore.Guard`.

Example:
    >>> import gradcore.testing
    >>> from gradcore.strategies import GlobalNorm
    >>> gradcore.testing.check_strategy(GlobalNorm, max_norm=2.0)
"""

from gradcore.testing.health import check_health
from gradcore.testing.policy import check_policy
from gradcore.testing.sink import check_sink
from gradcore.testing.strategy import check_strategy
from gradcore.testing.subject import ConformanceError

__all__ = ["ConformanceError", "check_health", "check_policy", "check_sink", "check_strategy"]
