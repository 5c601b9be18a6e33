"""Activation functions that keep gradients alive, by name: torch's own, and `Swish`.

=========== ===================================================================================
`GELU`      for transformers; smooth, a small gradient left of zero
`SiLU`      ``x * sigmoid(x)``, for deep convolutional and fully connected networks
`Swish`     SiLU with a steepness ``beta``, which may be trained
`Mish`      ``x * tanh(softplus(x))``, near SiLU; slower
`LeakyReLU` cheapest without dead units: a slope of 0.01 left of zero
`ELU`       like LeakyReLU, smooth, with outputs nearer to zero mean
=========== ===================================================================================

What each does to gradients through fifty layers is measured in ``docs/activations.md``.
"""

from torch.nn import ELU, GELU, LeakyReLU, Mish, SiLU
from torch.nn.functional import elu, gelu, leaky_relu, mish, silu

from gradcore.numerics.swish import Swish, swish

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "Mish",
    "SiLU",
    "Swish",
    "elu",
    "gelu",
    "leaky_relu",
    "mish",
    "silu",
    "swish",
]
