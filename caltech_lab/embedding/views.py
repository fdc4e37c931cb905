"""More looks at a photo through a frozen network: other crops, sizes and poolings of its maps.

A `View` is one way to show the photo to the network. One pass over the photos gives all of its
`PARTS`, the poolings of the last feature map and the mean of an earlier one, side by side in one
row, so that `extraction.extract` keeps them as it keeps any embeddings: a view is a `Backbone`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.preprocessing import normalize

from caltech_lab.embedding.backbones import Backbone, Fit, backbone
from caltech_lab.embedding.engines import Engine, compile_backbone
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.errors import ArgumentError, WeightsError

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
            # How a photo becomes square is no part of the network.
            build=partial(_pooled, base, replace(self, fit="squash")),
            grid=0,
        )


def own_view(network: Backbone) -> View:
    """Return the view that a backbone itself takes, whose average is the plain embedding."""
    return View(network.name, network.fit, network.size)


def part_of(X: NDArray[np.float32], view: View, part: str) -> NDArray[np.float32]:
    """Cut one part out of the rows of a view.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Rows as `extraction.extract` made them with `View.as_backbone`.
    view : View
        Which view they are of.
    part : str
        One of `PARTS`.

    Returns
    -------
    ndarray of float32, shape (n, width of the part)
        Rows of length one.
    """
    rows: NDArray[np.float32] = normalize(X[:, view.parts[part]])
    return rows


def split_parts(X: NDArray[np.float32], view: View) -> dict[str, NDArray[np.float32]]:
    """Cut the rows of a view into all of its parts; see `part_of`."""
    return {part: part_of(X, view, part) for part in PARTS}


def chosen_views() -> list[list[View]]:
    """Return the views that the best recipe fuses, grouped as `fused_views` wants them.

    Each photo passes once through each of three networks. This is the smallest of the measured sets
    whose precision@10 over photos, cross-validated on the training set, is within 0.004 of the best
    set's, for `all` and for `report51`: `benchmarks/results/passes.json`, which
    `benchmarks/passes.py` writes. Networks whose weights are not installed are left out.
    """
    groups = [[View()], [View("efficientnet-lite2", size=260)], [View("efficientnet-lite0")]]
    return [group for group in groups if _is_here(group[0])]


def _is_here(view: View) -> bool:
    try:
        backbone(view.backbone).weights()
    except WeightsError:
        return False
    return True


def fused_views(groups: list[list[NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Fuse views: the mean within a group, such as a photo and its mirror image, then `fuse`.

    Parameters
    ----------
    groups : list of list of ndarray of float32, shape (n, width)
        Rows of length one; those of a group through the same network.

    Returns
    -------
    ndarray of float32, shape (n, sum of the groups' widths)
        Rows of length one.
    """
    return fuse([np.sum(group, axis=0) for group in groups])


class FusedViews:
    """The networks of `chosen_views`, compiled when they are first needed, to embed any photo."""

    def __init__(self) -> None:
        self.groups = chosen_views()
        self._engines: dict[tuple[str, int], Engine] = {}

    def embed(
        self,
        photos: Sequence[Image.Image],
        known: Mapping[View, NDArray[np.float32]] = MappingProxyType({}),
    ) -> NDArray[np.float32]:
        """Embed photos as `fused.fused_embeddings` embeds those of a lab, but for rounding.

        Parameters
        ----------
        photos : sequence of PIL.Image.Image
            As `images.read_photo` gives them.
        known : mapping of View to ndarray of float32, shape (number of photos, width)
            Rows that are there already, such as the plain embeddings: one pass less for each.

        Returns
        -------
        ndarray of float32, shape (number of photos, width)
            Rows of length one.
        """
        return fused_views(
            [
                [known[view] if view in known else self._seen(photos, view) for view in group]
                for group in self.groups
            ]
        )

    def _seen(self, photos: Sequence[Image.Image], view: View) -> NDArray[np.float32]:
        network = replace(backbone(view.backbone), size=view.size, fit=view.fit)
        # A network that two views share is compiled once; the photo is mirrored, not its input.
        key = view.backbone, view.size
        if key not in self._engines:
            self._engines[key] = compile_backbone(network)
        shown = [ImageOps.mirror(photo) for photo in photos] if view.mirrored else photos
        return embed_few(shown, network, self._engines[key])


def fuse(blocks: list[NDArray[np.float32]], power: float = 0.5) -> NDArray[np.float32]:
    """Put embeddings of the same photos side by side, each weighing the same.

    Parameters
    ----------
    blocks : list of ndarray of float32, shape (n, width)
        Embeddings of several views, poolings or networks.
    power : float
        Exponent of the signed power that evens out strong activations first; 1 leaves them.

    Returns
    -------
    ndarray of float32, shape (n, sum of the widths)
        Rows of length one; an inner product is the mean of those of the blocks.

    References
    ----------
    F. Perronnin, J. Sánchez, T. Mensink: Improving the Fisher kernel for large-scale image
    classification. European Conference on Computer Vision, 2010.

    Examples
    --------
    >>> a, b = np.array([[4.0, 0.0]], np.float32), np.array([[0.0, -9.0]], np.float32)
    >>> fuse([a, b]).round(3)
    array([[ 0.707,  0.   ,  0.   , -0.707]], dtype=float32)
    """
    evened = [normalize(np.sign(block) * np.abs(block) ** power) for block in blocks]
    fused: NDArray[np.float32] = (np.hstack(evened) / np.sqrt(len(evened))).astype(np.float32)
    return fused


def generalized_mean(planes: "Tensor", power: float = GEM_POWER) -> "Tensor":
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
        Shape (n, channels): the whole map, and squares of two thirds and of half of its side, in
        steps of whole cells; on a map of 7 x 7 these are 2 x 2 and 4 x 4 regions.

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
                    generalized_mean(planes),
                    regional_maximum(planes),
                    self.earlier.pop(),
                ],
                1,
            )

    return Pooled().eval()
