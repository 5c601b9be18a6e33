"""A gradcore plugin: published ways to clip gradients, each held to its source."""

from __future__ import annotations

from gradcore import ClipStrategy, hookimpl
from gradcore_strategies.adagc import AdaGC
from gradcore_strategies.agc import AGC
from gradcore_strategies.autoclip import AutoClip
from gradcore_strategies.median import MedianNorm
from gradcore_strategies.spike_skip import SpikeSkip
from gradcore_strategies.zclip import ZClip

__all__ = ["AGC", "AdaGC", "AutoClip", "MedianNorm", "SpikeSkip", "ZClip"]


@hookimpl
def gradcore_clip_strategies() -> list[type[ClipStrategy]]:
    """Offer all of them."""
    return [AGC, AdaGC, AutoClip, MedianNorm, SpikeSkip, ZClip]
