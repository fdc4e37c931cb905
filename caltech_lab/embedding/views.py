"""Additional embeddings from frozen networks: other crops, sizes and poolings of feature maps.

A `View` is a network with one preprocessing of its input. One pass over the photos computes all
`PARTS` of a view, the poolings of the last feature map and the mean of an earlier one, concatenated
in one row. `View.as_backbone` lets `extraction.extract` extract them like any embeddings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.preprocessing import normalize

from caltech_lab.embedding.backbones import Backbone, backbone
from caltech_lab.embedding.engines import Engine, compile_backbone
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.embedding.images import Fit
from caltech_lab.errors import ArgumentError, WeightsError

if TYPE_CHECKING:
    from torch import nn

PARTS = ("average", "max", "gem", "regional", "earlier")
# The block before the last: its name in the network, and its number of channels.
EARLIER = {
    "resnet50": ("layer3", 1024),
    "resnet50-v1": ("layer3", 1024),
    "resnet50-v2": ("layer3", 1024),
    "efficientnet-lite0": ("_blocks.14", 192),
    "efficientnet-lite2": ("_blocks.19", 208),
}


@dataclass(frozen=True)
class View:
    """A network with one preprocessing of its input.

    Attributes
    ----------
    backbone : str
        Name in the registry.
    fit : {"squash", "crop"}
        How the photo is made square.
    size : int
        Side of the square input, in pixels.
    mirrored : bool
        Whether the photo is flipped horizontally.
    """

    backbone: str = "resnet50"
    fit: Fit = "squash"
    size: int = 224
    mirrored: bool = False

    @property
    def name(self) -> str:
        """Name of its folder in `outputs/`, such as ``resnet50-squash-224-mirrored``."""
        return f"{self.backbone}-{self.fit}-{self.size}" + "-mirrored" * self.mirrored

    @property
    def parts(self) -> dict[str, slice]:
        """The columns of each of `PARTS` in a row."""
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
        """Return a backbone for `extraction.extract`; its rows are all parts concatenated."""
        base = backbone(self.backbone)
        return replace(
            base,
            name=self.name,
            title=f"{base.title}, {self.fit} to {self.size}" + ", mirrored" * self.mirrored,
            width=self.parts["earlier"].stop,
            size=self.size,
            fit=self.fit,
            # The fit is not part of the network.
            build=partial(_pooled, base, replace(self, fit="squash")),
            grid=0,
        )


def own_view(network: Backbone) -> View:
    """Return the view with the backbone's own input; its average is the plain embedding."""
    return View(network.name, network.fit, network.size)


def chosen_views() -> list[list[View]]:
    """Return the views that the best projection fuses, grouped for `fused_views`.

    Each photo passes once through each of three networks. This is the smallest of the measured sets
    whose micro precision@10, cross-validated on the training set, is within 0.004 of that of the
    best set, for `all` and for `report51`; `benchmarks/passes.py` measures it and writes
    `benchmarks/results/passes.json`. Networks whose weights are not installed are left out.
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
        Rows of unit length; all of a group come from the same network.

    Returns
    -------
    ndarray of float32, shape (n, sum of the groups' widths)
        Rows of unit length.
    """
    return fuse([np.sum(group, axis=0) for group in groups])


class FusedViews:
    """Embeds photos with the networks of `chosen_views`, which are compiled on first use."""

    def __init__(self) -> None:
        self.groups = chosen_views()
        self._engines: dict[tuple[str, int], Engine] = {}

    def embed(
        self,
        photos: Sequence[Image.Image],
        known: Mapping[View, NDArray[np.float32]] = MappingProxyType({}),
    ) -> NDArray[np.float32]:
        """Embed photos like `fused.fused_embeddings` does for a lab, except for rounding.

        Parameters
        ----------
        photos : sequence of PIL.Image.Image
            As returned by `images.read_photo`.
        known : mapping of View to ndarray of float32, shape (number of photos, width)
            Rows that are already computed, such as the plain embeddings; each saves one pass.

        Returns
        -------
        ndarray of float32, shape (number of photos, width)
            Rows of unit length.
        """
        return fused_views(
            [
                [known[view] if view in known else self._seen(photos, view) for view in group]
                for group in self.groups
            ]
        )

    def _seen(self, photos: Sequence[Image.Image], view: View) -> NDArray[np.float32]:
        network = replace(backbone(view.backbone), size=view.size, fit=view.fit)
        # The photo is mirrored instead of the input, so that mirrored views share the network.
        key = view.backbone, view.size
        if key not in self._engines:
            self._engines[key] = compile_backbone(network)
        shown = [ImageOps.mirror(photo) for photo in photos] if view.mirrored else photos
        return embed_few(shown, network, self._engines[key])


def fuse(blocks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Concatenate embeddings of the same photos with equal weights.

    A signed power normalization dampens strong activations: the square root, with the sign.

    Parameters
    ----------
    blocks : list of ndarray of float32, shape (n, width)
        Embeddings of several views, poolings or networks.

    Returns
    -------
    ndarray of float32, shape (n, sum of the widths)
        Rows of unit length; an inner product is the mean of the inner products of the blocks.

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
    evened = [normalize(np.sign(block) * np.abs(block) ** 0.5) for block in blocks]
    fused: NDArray[np.float32] = (np.hstack(evened) / np.sqrt(len(evened))).astype(np.float32)
    return fused


def _pooled(base: Backbone, view: View) -> "nn.Module":
    from caltech_lab.embedding.architectures import Pooled  # imports PyTorch

    side = math.ceil(view.size / 32)
    return Pooled(base.build(), base.width, side, view._earlier[0], view.mirrored)
