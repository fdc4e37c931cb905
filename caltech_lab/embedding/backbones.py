"""Registry of pretrained networks, and of two classical descriptors as baselines.

A backbone maps uint8 RGB pixels of shape (n, size, size, 3) to float32 rows of shape (n, width).
Input normalization and channel order are part of the network, so that no caller can get them
wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage import color, feature  # which import their parts on first use

from caltech_lab.embedding.images import Fit
from caltech_lab.embedding.pretrained import (
    RESNET50_SHA256,
    lite_weights,
    needs_extra,
    resnet50_weights,
)
from caltech_lab.errors import ArgumentError
from caltech_lab.settings import settings
from caltech_lab.storage.files import sha256_of

# Prefixes of the names of networks from other libraries: timm's, open_clip's architectures, and a
# folder with a model of open_clip.
TIMM, CLIP, CLIP_FOLDER = "timm-", "clip-", "clip:"

Source = Literal["package", "torchvision", "hub", "folder"]


@dataclass(frozen=True)
class Backbone:
    """A network or classical descriptor that maps pixels to a vector.

    Attributes
    ----------
    name : str
        Name in the registry and in `outputs/`.
    title : str
        Name in messages and reports.
    width : int
        Dimension of the vectors.
    size : int
        Side of the square input, in pixels.
    fit : {"squash", "crop", "cover"}
        How a photo is made square; see `images.load_pixels`.
    weights : callable
        Returns the sha256 of the pretrained weights, hexadecimal ("none" if there are none).
    build : callable
        Returns the network as a module from uint8 (n, size, size, 3) to float32 (n, width), or,
        for a classical descriptor, a function with the same signature on arrays.
    file : callable, optional
        Returns the checked file of the weights, if there is one.
    classical : bool
        Whether `build` returns a function on arrays instead of a network.
    grid : int
        Regions per side of the last feature map, whose mean is the vector; 0 if there is no such
        map.
    weights_from : {"package", "torchvision", "hub", "folder"}
        Where the weights come from: a Python package, torchvision's server, the Hugging Face hub,
        or a folder that the name names.
    text : callable, optional
        Maps n texts to float32 (n, width), rows of unit length in the space of the photos, if the
        network has a text tower. A long text is cut, by most models after 75 tokens.
    """

    name: str
    title: str
    width: int
    size: int
    fit: Fit
    weights: Callable[[], str]
    build: Callable[[], Any]
    file: Callable[[], Path] | None = None
    classical: bool = False
    grid: int = 0
    weights_from: Source = "package"
    text: Callable[[Sequence[str]], NDArray[np.float32]] | None = None

    @property
    def transform(self) -> str:
        """The preprocessing of a photo, in one line."""
        return f"{self.fit} to {self.size} x {self.size}, bilinear"


def backbone(name: str | None = None) -> Backbone:
    """Look up a backbone by name.

    Parameters
    ----------
    name : str, optional
        One of `BACKBONES`; ``timm-`` and the name of a model of the timm library; or a model of
        the open_clip library, as `clip` names them. By default the backbone of the settings.

    Returns
    -------
    Backbone
        The registry entry; nothing is loaded yet.

    Raises
    ------
    ArgumentError
        When the name is unknown, or needs a package that is not installed.
    WeightsError
        When a folder of the name holds no model.
    """
    name = name or settings().backbone
    if name.startswith(TIMM):
        return _from_timm(name)
    if name.startswith((CLIP, CLIP_FOLDER)):
        return _from_clip(name)
    if name not in BACKBONES:
        raise ArgumentError(f"There is no backbone {name!r}: choose one of {', '.join(BACKBONES)}.")
    return BACKBONES[name]


def feature_map(backbone: Backbone) -> Backbone:
    """Return a backbone whose output is the last feature map instead of its mean.

    Parameters
    ----------
    backbone : Backbone
        Backbone with a `grid`.

    Returns
    -------
    Backbone
        Its network maps uint8 (n, size, size, 3) to float32 (n, grid, grid, width).

    Raises
    ------
    ArgumentError
        When the vectors of this backbone are not the mean of a feature map.
    """
    if not backbone.grid:
        raise ArgumentError(
            f"{backbone.title} has no feature map to compare region by region: "
            "use a backbone such as resnet50."
        )
    return replace(backbone, name=f"{backbone.name}-map", build=partial(_unpooled, backbone))


# ---- networks ------------------------------------------------------------------------------


def _call(function: str, *given: Any) -> Any:
    """Call a function of `architectures`, which imports PyTorch; that takes seconds."""
    from caltech_lab.embedding import architectures

    return getattr(architectures, function)(*given)


def _unpooled(backbone: Backbone) -> Any:
    return _call("Unpooled", backbone.build(), backbone.width, backbone.grid)


def _resnet50_sha256() -> str:
    resnet50_weights()
    return RESNET50_SHA256


def _torchvision_weights(architecture: str, weights: str) -> Path:
    path: Path = _call("torchvision_weights", architecture, weights)
    return path


def _torchvision_sha256(architecture: str, weights: str) -> str:
    return sha256_of(_torchvision_weights(architecture, weights))


def _lite_sha256(variant: str) -> str:
    return sha256_of(lite_weights(variant))


def _from_timm(name: str) -> Backbone:
    try:
        from caltech_lab.embedding.timm_models import find_timm
    except ImportError as error:
        raise ArgumentError(needs_extra(name, "timm")) from error
    return find_timm(name.removeprefix(TIMM))


def _from_clip(name: str) -> Backbone:
    try:
        from caltech_lab.embedding.clip import find_clip
    except ImportError as error:
        raise ArgumentError(needs_extra(name, "text")) from error
    return find_clip(name).as_backbone()


# ---- classical descriptors -----------------------------------------------------------------


def _raw_pixels() -> Callable[[np.ndarray], np.ndarray]:
    def describe(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255

    return describe


def _hog() -> Callable[[np.ndarray], np.ndarray]:
    def describe(pixels: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                feature.hog(color.rgb2gray(photo), orientations=9, pixels_per_cell=(16, 16),
                            cells_per_block=(2, 2), block_norm="L2-Hys")
                for photo in pixels
            ]
        ).astype(np.float32)  # fmt: skip

    return describe


def _no_weights() -> str:
    return "none"


def _from_torchvision(
    name: str,
    title: str,
    width: int,
    architecture: str,
    weights: str,
    head: str,
    size: int = 224,
    grid: int = 0,
) -> Backbone:
    return Backbone(
        name, title, width, size, "crop",
        partial(_torchvision_sha256, architecture, weights),
        partial(_call, "torchvision_network", architecture, weights, head),
        partial(_torchvision_weights, architecture, weights), grid=grid,
        weights_from="torchvision",
    )  # fmt: skip


BACKBONES: dict[str, Backbone] = {
    entry.name: entry
    for entry in (
        Backbone("resnet50", "ResNet-50 (He et al. 2015)", 2048, 224, "squash",
                 _resnet50_sha256, partial(_call, "resnet50_network"), resnet50_weights, grid=7),
        _from_torchvision("resnet50-v1", "ResNet-50 (torchvision V1)", 2048,
                          "resnet50", "IMAGENET1K_V1", "fc", grid=7),
        _from_torchvision("resnet50-v2", "ResNet-50 (torchvision V2)", 2048,
                          "resnet50", "IMAGENET1K_V2", "fc", grid=7),
        _from_torchvision("efficientnet_v2_s", "EfficientNetV2-S", 1280,
                          "efficientnet_v2_s", "IMAGENET1K_V1", "classifier", 384, 12),
        _from_torchvision("convnext_tiny", "ConvNeXt-Tiny", 768,
                          "convnext_tiny", "IMAGENET1K_V1", "classifier.2"),
        _from_torchvision("vit_b_16", "ViT-B/16", 768,
                          "vit_b_16", "IMAGENET1K_V1", "heads"),
        Backbone("efficientnet-lite0", "EfficientNet-Lite0", 1280, 224, "crop",
                 partial(_lite_sha256, "lite0"), partial(_call, "lite_network", "lite0"),
                 partial(lite_weights, "lite0"), grid=7),
        Backbone("efficientnet-lite2", "EfficientNet-Lite2", 1280, 260, "crop",
                 partial(_lite_sha256, "lite2"), partial(_call, "lite_network", "lite2"),
                 partial(lite_weights, "lite2"), grid=9),
        Backbone("pixels", "raw pixels", 32 * 32 * 3, 32, "squash",
                 _no_weights, _raw_pixels, classical=True),
        Backbone("hog", "histograms of oriented gradients", 1764, 128, "squash",
                 _no_weights, _hog, classical=True),
    )
}  # fmt: skip
