"""Writes `golden.npz`: one picture of the sample through each backbone whose weights are at hand.

    python -m tests.embedding.golden

It takes Pillow, PyTorch and torchvision in float32, and nothing of the package but the weights and
the layers of EfficientNet-Lite, so that what the package says can be compared with it.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage.color import rgb2gray
from skimage.feature import hog

from caltech_lab.datasets import drawn
from caltech_lab.embedding.architectures import models
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.efficientnet_lite import EfficientNetLite
from caltech_lab.embedding.pretrained import RESNET50_FILE

PICTURE = "drawn/starfish/image_0001.jpg"
GOLDEN = Path(__file__).with_name("golden.npz")


def picture() -> Image.Image:
    with drawn.opened() as archive, archive.open(PICTURE) as file:
        return Image.open(file).convert("RGB")


def squashed(size: int) -> np.ndarray:
    return np.array(picture().resize((size, size), Image.Resampling.BILINEAR))


def cropped(size: int) -> np.ndarray:
    """Scale the shorter side to 256 / 224 of the size, and cut the center out."""
    photo = picture()
    shorter = round(size * 256 / 224)
    scaled = [shorter * side // min(photo.size) for side in photo.size]
    photo = photo.resize(scaled, Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in photo.size)
    return np.array(photo.crop((left, top, left + size, top + size)))


def resnet50() -> np.ndarray:
    """He et al.'s: blue first, minus the means, strides in the first convolution of a stage."""
    network = models.resnet50(weights=None)
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 1e-5
    state = {name: tensor.float() for name, tensor in load_file(RESNET50_FILE).items()}
    network.load_state_dict(state, strict=False)
    network.fc = torch.nn.Identity()
    planes = squashed(224)[..., ::-1].astype(np.float32) - np.float32([103.939, 116.779, 123.68])
    return network.eval()(torch.from_numpy(planes.transpose(2, 0, 1)[None].copy()))[0].numpy()


def lite(variant: str, size: int) -> np.ndarray:
    network = EfficientNetLite(variant).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 1e-3
    file = backbone(f"efficientnet-{variant}").file()
    network.load_state_dict(torch.load(file, weights_only=True), strict=False)
    planes = (cropped(size).astype(np.float32) - 127) / 128
    return network(torch.from_numpy(planes.transpose(2, 0, 1)[None].copy()))[0].numpy()


def main() -> None:
    with torch.inference_mode():
        rows = {
            "resnet50": resnet50(),
            "efficientnet-lite0": lite("lite0", 224),
            "efficientnet-lite2": lite("lite2", 260),
            "pixels": squashed(32).astype(np.float32).ravel(),
            "hog": hog(rgb2gray(squashed(128)), 9, (16, 16), (2, 2), "L2-Hys"),
        }
    np.savez(GOLDEN, **{n: (row / np.linalg.norm(row)).astype("f4") for n, row in rows.items()})


if __name__ == "__main__":
    main()
