"""Losses and operations that do not blow up: prevention, where the rest of gradcore is cure."""

from gradcore.numerics import activations
from gradcore.numerics.contrastive import nway_contrastive_loss
from gradcore.numerics.normalization import normalize
from gradcore.numerics.similarity import nway_similarity
from gradcore.numerics.square_root import safe_sqrt

__all__ = ["activations", "normalize", "nway_contrastive_loss", "nway_similarity", "safe_sqrt"]
