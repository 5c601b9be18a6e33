"""A small character transformer, as ordinary as can be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, length, width]`` to the same shape."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.inputs(x).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each behind a layer norm and beside a skip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, length, width]`` to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]


class CharacterTransformer(nn.Module):
    """Predicts the next character from those before it.

    Args:
        characters: Size of the vocabulary.
        context: Longest stretch it can read, in characters.
        width: Numbers per character; a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads per block.
    """

    def __init__(self, characters: int, context: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.position = nn.Parameter(torch.zeros(context, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, characters)

    def forward(self, text: Tensor) -> Tensor:
        """Map int64 ``[batch, length]`` to logits ``[batch, length, characters]``."""
        x = self.embedding(text) + self.position[: text.shape[1]]
        return self.output(self.norm(self.blocks(x)))  # type: ignore[no-any-return]

    def loss(self, text: Tensor) -> Tensor:
        """Mean cross-entropy of each window's next characters, in nats per character; 0-d."""
        logits = self(text[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
