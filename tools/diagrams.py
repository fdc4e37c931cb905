"""Draws the diagrams of notebook 02, and of the README, from a picture of the offline sample.

`python -m tools.diagrams` writes `notebooks/images/pipeline.webp` and `residual_block.webp`.
"""

import sys
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from caltech_lab.datasets import drawn
from caltech_lab.embedding.architectures import CAFFE_MEANS_BGR, Embedder, load_resnet50
from caltech_lab.settings import settings

PICTURE = "drawn/sunflower/image_0002.jpg"
STAGES = {"relu": "conv1", "layer1": "stage 1", "layer2": "stage 2", "layer3": "stage 3",
          "layer4": "stage 4"}  # fmt: skip
BLUE, GRAY = "#0072B2", "0.35"


def pipeline() -> Figure:
    """Draw the way from a picture to a unit vector, with one feature map per stage."""
    with drawn.opened() as archive:
        picture = Image.open(BytesIO(archive.read(PICTURE))).convert("RGB")
    pixels = np.asarray(picture.resize((224, 224), Image.Resampling.BILINEAR))
    maps, vector = _forward(pixels)

    figure = plt.figure(figsize=(15.2, 2.6))
    canvas = figure.add_axes((0, 0, 1, 1))
    canvas.set(xlim=(0, 15.2), ylim=(0, 2.6))
    canvas.set_axis_off()
    middle = 1.28
    wide = 1.45 * picture.width / picture.height
    _picture(canvas, np.asarray(picture), 0.1, middle, wide, 1.45)
    _label(canvas, 0.1 + wide / 2, middle, 1.45, "photo", f"{picture.width} x {picture.height}")
    _arrow(canvas, 0.15 + wide, 2.55, middle, "resize")
    _picture(canvas, pixels, 2.6, middle, 1.45, 1.45)
    _label(canvas, 3.325, middle, 1.45, "resized", "3 x 224 x 224")
    left = 5.05
    _arrow(canvas, 4.1, left - 0.05, middle, "normalize")
    for (name, planes), side in zip(maps.items(), (1.45, 1.25, 1.05, 0.9, 0.7), strict=True):
        strongest = planes.std(axis=(1, 2)).argmax()
        _picture(canvas, planes[strongest], left, middle, side, side)
        shape = " x ".join(f"{n:,}" for n in planes.shape)
        _label(canvas, left + side / 2, middle, side, STAGES[name], shape)
        left += side + 0.3
    _arrow(canvas, left - 0.25, left + 0.4, middle, "mean")
    left += 0.45
    _picture(canvas, vector.reshape(64, 32), left, middle, 0.7, 1.4)
    _label(canvas, left + 0.35, middle, 1.4, "vector", "2,048")
    left += 0.75
    _arrow(canvas, left + 0.05, left + 0.95, middle, "divide by\nlength")
    canvas.text(left + 1.0, middle, "clusters,\nclassifiers,\nretrieval", va="center", fontsize=12)
    return figure


def _forward(pixels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the feature maps of the stages, and the vector."""
    network = load_resnet50()
    network.fc = torch.nn.Identity()
    maps: dict[str, np.ndarray] = {}

    def keep(name: str) -> None:
        layer = network.get_submodule(name)
        layer.register_forward_hook(lambda _, __, output: maps.update({name: output[0].numpy()}))

    for name in STAGES:
        keep(name)
    with torch.inference_mode():
        whole = Embedder(network, CAFFE_MEANS_BGR, (1.0, 1.0, 1.0), bgr=True)
        vector: np.ndarray = whole(torch.from_numpy(pixels[None].copy()))[0].numpy()
    return maps, vector


def residual_block() -> Figure:
    """Draw the second block of the first stage."""
    figure, ax = plt.subplots(figsize=(9, 2.1), layout="constrained")
    ax.set(xlim=(0, 9), ylim=(0.1, 2.2))
    ax.set_axis_off()
    middle = 0.75
    steps = ("1 x 1 convolution\nto 64 channels\nbatch norm, ReLU",
             "3 x 3 convolution\n64 channels\nbatch norm, ReLU",
             "1 x 1 convolution\nto 256 channels\nbatch norm")  # fmt: skip
    ax.text(0.3, middle, "$x$", fontsize=15, va="center")
    for number, text in enumerate(steps):
        left = 1.0 + 2.15 * number
        ax.add_patch(FancyBboxPatch((left, middle - 0.5), 1.66, 1.0, boxstyle="round,pad=0.04",
                                    facecolor="#dceaf5", edgecolor=BLUE))  # fmt: skip
        ax.text(left + 0.83, middle, text, ha="center", va="center", fontsize=10)
        _arrow(ax, left - 0.48, left - 0.06, middle)
    _arrow(ax, 7.02, 7.35, middle)
    circle = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": BLUE}
    ax.text(7.55, middle, "+", fontsize=17, ha="center", va="center", bbox=circle)
    _arrow(ax, 7.8, 8.2, middle)
    ax.text(8.6, middle, "ReLU", ha="center", va="center", fontsize=11)
    ax.plot([0.7, 0.7, 7.55, 7.55], [middle, 1.75, 1.75, 1.25], color=BLUE, linewidth=1.8)
    ax.add_patch(FancyArrowPatch((7.55, 1.3), (7.55, middle + 0.26), arrowstyle="-|>",
                                 mutation_scale=14, color=BLUE))  # fmt: skip
    shortcut = "shortcut: $x$ is added (in the first block of a stage, after a 1 x 1 convolution)"
    ax.text(4.1, 1.95, shortcut, ha="center", fontsize=12, color=BLUE)
    return figure


def _picture(
    ax: Axes, pixels: np.ndarray, left: float, middle: float, wide: float, tall: float
) -> None:
    extent = (left, left + wide, middle - tall / 2, middle + tall / 2)
    ax.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest", zorder=2)


def _label(ax: Axes, x: float, middle: float, tall: float, above: str, below: str) -> None:
    ax.text(x, middle + tall / 2 + 0.08, above, ha="center", va="bottom", fontsize=13)
    ax.text(x, middle - tall / 2 - 0.08, below, ha="center", va="top", fontsize=10, color=GRAY)


def _arrow(ax: Axes, start: float, end: float, y: float, text: str = "") -> None:
    ax.add_patch(FancyArrowPatch((start, y), (end, y), arrowstyle="-|>", mutation_scale=14,
                                 color=BLUE, shrinkA=0, shrinkB=0))  # fmt: skip
    ax.text((start + end) / 2, y + 0.12, text, ha="center", va="bottom", fontsize=11, color=BLUE)


def main() -> int:
    """Write both diagrams."""
    folder = settings().home / "notebooks" / "images"
    for name, figure in (("pipeline", pipeline()), ("residual_block", residual_block())):
        drawing = BytesIO()
        figure.savefig(drawing, dpi=110)
        Image.open(drawing).convert("RGB").save(folder / f"{name}.webp", quality=85, method=6)
        print(folder / f"{name}.webp")
    return 0


if __name__ == "__main__":
    sys.exit(main())
