"""The networks behind the backbones, as PyTorch modules.

PyTorch and torchvision take seconds to import, so the functions that build a network import this
module; everything else about a backbone is in `backbones`.
"""

import math
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from caltech_lab.embedding.efficientnet_lite import EfficientNetLite
from caltech_lab.embedding.pretrained import lite_weights, resnet50_weights
from caltech_lab.embedding.torchvision_operators import define_missing_operators
from caltech_lab.errors import WeightsError
from caltech_lab.settings import settings
from caltech_lab.storage.files import sha256_of

define_missing_operators()
from torchvision import models  # noqa: E402  (needs the operators)

# ImageNet means of the blue, green and red channel, subtracted by He et al.
CAFFE_MEANS_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEANS = (123.675, 116.28, 103.53)
IMAGENET_DEVIATIONS = (58.395, 57.12, 57.375)
GEM_POWER = 3.0
EPSILON = 1e-5  # that batch normalization adds to the variance


class Embedder(nn.Module):
    """A network with its input normalization: from uint8 RGB (n, size, size, 3) to (n, width).

    Parameters
    ----------
    trunk : Module
        From normalized (n, 3, size, size) to float32 (n, width).
    means, deviations : tuple of float
        Mean and divisor per channel, in units of 0 to 255, in the channel order of the trunk.
    bgr : bool
        Whether the trunk expects the channels in BGR order.
    """

    means: Tensor
    deviations: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        means: tuple[float, ...],
        deviations: tuple[float, ...],
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.trunk, self.bgr = trunk, bgr
        self.register_buffer("means", torch.tensor(means).view(1, 3, 1, 1))
        self.register_buffer("deviations", torch.tensor(deviations).view(1, 3, 1, 1))
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return one row per photo."""
        planes = pixels.permute(0, 3, 1, 2).float()
        if self.bgr:
            planes = planes.flip(1)
        rows: Tensor = self.trunk((planes - self.means) / self.deviations)
        return rows


class Unpooled(nn.Module):
    """A network without its last pooling: from uint8 pixels to regions (n, grid, grid, width)."""

    def __init__(self, network: Any, width: int, grid: int) -> None:
        super().__init__()
        self.network, self.width, self.grid = network, width, grid
        network.trunk.avgpool = nn.Identity()  # the next step only flattens
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the last feature map, channels last."""
        planes: Tensor = self.network(pixels).unflatten(1, (self.width, self.grid, -1))
        return planes.permute(0, 2, 3, 1)


class Pooled(nn.Module):
    """A network with several poolings of its last feature map, and the mean of an earlier one.

    Parameters
    ----------
    network : Embedder
        Network whose trunk ends in an average pooling.
    width, side : int
        Channels of the last feature map, and regions per side.
    earlier : str
        Name in the trunk of the block before the last.
    mirrored : bool
        Whether photos are flipped horizontally.
    """

    def __init__(self, network: Any, width: int, side: int, earlier: str, mirrored: bool) -> None:
        super().__init__()
        self.network, self.width, self.side, self.mirrored = network, width, side, mirrored
        network.trunk.avgpool = nn.Identity()  # the next step only flattens
        self.earlier: list[Tensor] = []
        block = network.trunk.get_submodule(earlier)
        block.register_forward_hook(lambda *call: self.earlier.append(call[2].mean((2, 3))))
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return `views.PARTS`, one after the other, in one row per photo."""
        seen = pixels.flip(2) if self.mirrored else pixels
        planes: Tensor = self.network(seen).unflatten(1, (self.width, self.side, self.side))
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


def generalized_mean(planes: Tensor, power: float = GEM_POWER) -> Tensor:
    """Generalized-mean pooling, between average pooling (power 1) and max pooling (infinity).

    Parameters
    ----------
    planes : Tensor
        Feature maps of shape (n, channels, height, width); negative values count as zero.
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


def regional_maximum(planes: Tensor) -> Tensor:
    """Sum the max-pooled vectors of overlapping regions, each scaled to unit length (R-MAC).

    Parameters
    ----------
    planes : Tensor
        Feature maps of shape (n, channels, side, side).

    Returns
    -------
    Tensor
        Shape (n, channels). The regions are the whole map and squares of two thirds and of half
        of its side, in steps of whole cells; on a 7 x 7 map these are 2 x 2 and 4 x 4 regions.

    References
    ----------
    G. Tolias, R. Sicre, H. Jégou: Particular object retrieval with integral max-pooling of CNN
    activations. ICLR 2016.
    """
    side = planes.shape[-1]
    total = functional.normalize(planes.amax((2, 3)), dim=1)
    for count in (2, 3):
        wide = math.ceil(2 * side / (count + 1))
        stride = max((side - wide) // (count - 1), 1)
        regions = functional.max_pool2d(planes, wide, stride).flatten(2)
        total = total + functional.normalize(regions, dim=1).sum(2)
    return total


def load_resnet50(weights: Path | None = None) -> nn.Module:
    """Load the ResNet-50 of He et al. with its ImageNet weights, including the classifier.

    This is *version 1* of the network: torchvision's `resnet50` with the stride of each stage on
    the first 1 x 1 convolution. Its input is BGR from 0 to 255 minus `CAFFE_MEANS_BGR`. The file
    does not say which epsilon belongs to the weights; the statistics that the network has stored
    fit 1e-5 better than 1e-3 (`notebooks/appendix_weights.ipynb`).

    Parameters
    ----------
    weights : Path, optional
        The safetensors file; by default `RESNET50_FILE`, which comes with the package.

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
    path = resnet50_weights(weights)
    network: Any = models.resnet50(
        weights=None, norm_layer=lambda channels: nn.BatchNorm2d(channels, eps=EPSILON)
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


def resnet50_network() -> nn.Module:
    """Load the ResNet-50 of He et al. without its classifier."""
    network: Any = load_resnet50()
    network.fc = nn.Identity()
    return Embedder(network, CAFFE_MEANS_BGR, (1.0, 1.0, 1.0), bgr=True)


def torchvision_weights(architecture: str, weights: str) -> Path:
    """Download weights of torchvision if they are missing, and return the checked file."""
    entry = models.get_model_weights(architecture)[weights]
    path = settings().data / "weights" / Path(entry.url).name
    prefix = path.stem.rsplit("-", 1)[1]  # file names end in the start of the sha256
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(entry.url, str(path), hash_prefix=prefix, progress=True)
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


def torchvision_network(architecture: str, weights: str, head: str) -> nn.Module:
    """Load a network of torchvision without its classifier, the sub-module `head`."""
    path = torchvision_weights(architecture, weights)
    network: nn.Module = models.get_model(architecture, weights=None)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    owner, _, name = head.rpartition(".")
    setattr(network.get_submodule(owner), name, nn.Identity())
    return Embedder(network, IMAGENET_MEANS, IMAGENET_DEVIATIONS)


def lite_network(variant: str) -> nn.Module:
    """Load an EfficientNet-Lite without its classifier."""
    network = EfficientNetLite(variant)
    state = torch.load(lite_weights(variant), map_location="cpu", weights_only=True)
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("_fc.")})
    return Embedder(network, (127.0,) * 3, (128.0,) * 3)
