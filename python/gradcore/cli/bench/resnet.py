"""ResNet-50, to have a real backward pass to compare with.

K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2015, arXiv
1512.03385, table 1; the stride of a stage is in its 3 x 3 convolution.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from gradcore.cli.bench.workloads import STAGES

CLASSES: Final = 1000


def _normalised(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    """Narrow, convolve, widen; and add what came in."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _normalised(inputs, width, 1),
            nn.ReLU(),
            _normalised(width, width, 3, stride),
            nn.ReLU(),
            _normalised(width, 4 * width, 1),
        )
        same = inputs == 4 * width
        self.skip = nn.Identity() if same else _normalised(inputs, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, inputs, height, width]`` to four times ``width`` channels."""
        return (self.body(x) + self.skip(x)).relu()  # type: ignore[no-any-return]


class ResNet50(nn.Module):
    """Maps images ``[batch, 3, height, width]`` to logits ``[batch, 1000]``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_normalised(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        inputs, blocks = 64, []
        for stage, (width, depth) in enumerate(STAGES):
            for block in range(depth):
                blocks.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
                inputs = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(inputs, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Classify."""
        return self.output(self.blocks(self.stem(images)).mean((2, 3)))  # type: ignore[no-any-return]
