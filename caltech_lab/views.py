"""More looks at a photo through a frozen network: other crops, sizes and poolings of its maps.

A `View` is one way to show the photo to the network. One pass over the photos gives all of its
`Parts`, the poolings of the last feature map and the mean of an earlier one, side by side in one
row, so that `extraction.extract` keeps them as it keeps any embeddings: a view is a `Backbone`.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from caltech_lab.backbones import Backbone, Fit, backbone
from caltech_lab.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor, nn

GEM_POWER = 3.0
PARTS = ("average", "max", "gem", "regional", "earlier")
# The block before the last, by its name in the network, and how many channels it has.
EARLIER = {
    "resnet50": ("layer3", 1024),
    "resnet50-v1": ("layer3", 1024),
    "resnet50-v2": ("layer3", 1024),
    "efficientnet-lite0": ("_blocks.14", 192),
    "efficientnet-lite2": ("_blocks.19", 208),
}


@dataclass(frozen=True)
class View:
    """One way to show a photo to a network.

    Attributes
    ----------
    backbone : str
        Name in the registry.
    fit : {"squash", "crop"}
        How the photo becomes square.
    size : int
        Pixels a side that the network sees.
    mirrored : bool
        Whether left and right are swapped.
    """

    backbone: str = "resnet50"
    fit: Fit = "squash"
    size: int = 224
    mirrored: bool = False

    @property
    def name(self) -> str:
        """What its folder in `outputs/` is called, such as ``resnet50-squash-224-mirrored``."""
        return f"{self.backbone}-{self.fit}-{self.size}" + "-mirrored" * self.mirrored

    @property
    def parts(self) -> dict[str, slice]:
        """Where each of `PARTS` lies in a row."""
        width = backbone(self.backbone).width
        ends = [i * width for i in range(len(PARTS))]
        last = {part: slice(end, end + width) for part, end in zip(PARTS[:-1], ends, strict=False)}
        return last | {PARTS[-1]: slice(ends[-1], ends[-1] + self._earlier[1])}

    @property
    def _earlier(self) -> tuple[str, int]:
        if self.backbone not in EARLIER:
            raise ArgumentError(
                f"There are no views through {self.backbone}: choose one of {', '.join(EARLIER)}."
            )
        return EARLIER[self.backbone]

    def as_backbone(self) -> Backbone:
        """Return what `extraction.extract` takes; its rows hold all parts side by side."""
        base = backbone(self.backbone)
        return replace(
            base,
            name=self.name,
            title=f"{base.title}, {self.fit} to {self.size}" + ", mirrored" * self.mirrored,
            width=self.parts["earlier"].stop,
            size=self.size,
            fit=self.fit,
            build=partial(_pooled, base, self),
            grid=0,
        )


def split_parts(X: NDArray[np.float32], view: View) -> dict[str, NDArray[np.float32]]:
    """Cut the rows of a view into its parts.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Rows as `extraction.extract` made them with `View.as_backbone`.
    view : View
        Which view they are of.

    Returns
    -------
    dict
        A matrix for each of `PARTS`, float32 of shape (n, width of the part), rows of length one.
    """
    return {name: normalize(X[:, columns]) for name, columns in view.parts.items()}


def generalised_mean(planes: "Tensor", power: float = GEM_POWER) -> "Tensor":
    """Pool each channel by a mean between the average (power 1) and the maximum (infinity).

    Parameters
    ----------
    planes : Tensor
        Feature maps of shape (n, channels, height, width); what is negative counts as zero.
    power : float
        At least 1.

    Returns
    -------
    Tensor
        Shape (n, channels).

    References
    ----------
    F. Radenović, G. Tolias, O. Chum: Fine-tuning CNN image retrieval with no human annotation.
    IEEE Transactions on Pattern Analysis and Machine Intelligence 41(7), 2019.
    """
    pooled: Tensor = planes.clamp(min=1e-6).pow(power).mean((2, 3)).pow(1 / power)
    return pooled


def regional_maximum(planes: "Tensor") -> "Tensor":
    """Sum the maxima of overlapping regions, each scaled to length one.

    Parameters
    ----------
    planes : Tensor
        Feature maps of shape (n, channels, side, side).

    Returns
    -------
    Tensor
        Shape (n, channels): the whole map, and 2 x 2 and 3 x 3 regions of it, each region about
        twice as wide as the way to the next.

    References
    ----------
    G. Tolias, R. Sicre, H. Jégou: Particular object retrieval with integral max-pooling of CNN
    activations. ICLR 2016.
    """
    from torch.nn import functional

    side = planes.shape[-1]
    total = functional.normalize(planes.amax((2, 3)), dim=1)
    for count in (2, 3):
        wide = math.ceil(2 * side / (count + 1))
        stride = max((side - wide) // (count - 1), 1)
        regions = functional.max_pool2d(planes, wide, stride).flatten(2)
        total = total + functional.normalize(regions, dim=1).sum(2)
    return total


def _pooled(base: Backbone, view: View) -> "nn.Module":
    import torch
    from torch import Tensor, nn

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = base.build()
            trunk = self.network.trunk
            trunk.avgpool = nn.Identity()  # what follows it only flattens
            self.side = math.ceil(view.size / 32)
            self.earlier: list[Tensor] = []
            block = trunk.get_submodule(view._earlier[0])
            block.register_forward_hook(lambda *call: self.earlier.append(call[2].mean((2, 3))))

        def forward(self, pixels: Tensor) -> Tensor:
            seen = pixels.flip(2) if view.mirrored else pixels
            flat: Any = self.network(seen)
            planes = flat.unflatten(1, (base.width, self.side, self.side))
            return torch.cat(
                [
                    planes.mean((2, 3)),
                    planes.amax((2, 3)),
                    generalised_mean(planes),
                    regional_maximum(planes),
                    self.earlier.pop(),
                ],
                1,
            )

    return Pooled().eval()
