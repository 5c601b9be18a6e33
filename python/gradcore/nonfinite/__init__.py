"""What becomes of NaN and infinite elements, one policy a file.

A policy is named after what users write: `Skip` is ``nonfinite="skip"``.  The verbs they return are
those of `gradcore.plan`, some of which are called alike: hence ``plan.Skip`` in these files.
"""

from gradcore.nonfinite.adaptive import Adaptive
from gradcore.nonfinite.detect import Detect
from gradcore.nonfinite.propagate import Propagate
from gradcore.nonfinite.replace import Replace
from gradcore.nonfinite.restore import Restore
from gradcore.nonfinite.scale import Scale
from gradcore.nonfinite.skip import Skip
from gradcore.nonfinite.stop import Raise
from gradcore.nonfinite.zero import Zero
from gradcore.nonfinite.zero_parameter import ZeroParameter

__all__ = [
    "Adaptive",
    "Detect",
    "Propagate",
    "Raise",
    "Replace",
    "Restore",
    "Scale",
    "Skip",
    "Zero",
    "ZeroParameter",
]
