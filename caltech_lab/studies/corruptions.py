"""Image corruptions: blur, noise, JPEG compression, brightness, rotation, occlusion.

The protocol is that of Hendrycks and Dietterich (2019): a fixed list of corruptions at fixed
strengths, applied to held-out photos and never used in training. Four of the six are theirs, at
their severities 1, 3 and 5; rotation and occlusion are additions.

Random choices (noise, direction of a rotation, position of an occlusion) are seeded by the photo's
sha256, so that each photo is always corrupted in the same way, on any machine.
"""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from caltech_lab.errors import ArgumentError

VERSION = 1  # increase whenever a change to this code changes pixels
SIDE = 224  # pixels of the shorter side, for which the strengths are defined
GRAY = (124, 116, 104)  # the mean color of ImageNet, which is the least conspicuous to a network

Photo = Image.Image


@dataclass(frozen=True)
class Corruption:
    """A corruption and its strengths.

    Attributes
    ----------
    apply : callable
        Takes a photo, a strength in `unit`, and a random generator; returns a photo of the same
        size.
    strengths : tuple of float
        Three, from light to heavy.
    unit : str
        Unit of the strengths.
    """

    apply: Callable[[Photo, float, np.random.Generator], Photo]
    strengths: tuple[float, float, float]
    unit: str


def _blur(photo: Photo, sigma: float, _: np.random.Generator) -> Photo:
    return photo.filter(ImageFilter.GaussianBlur(sigma))


def _noise(photo: Photo, sigma: float, rng: np.random.Generator) -> Photo:
    pixels = _floats(photo)
    return _photo(pixels + sigma * rng.standard_normal(pixels.shape, dtype=np.float32))


def _jpeg(photo: Photo, quality: float, _: np.random.Generator) -> Photo:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=int(quality))
    with Image.open(buffer) as again:
        return again.convert("RGB")


def _brightness(photo: Photo, added: float, _: np.random.Generator) -> Photo:
    # Hue and saturation are kept; the value in HSV (the largest channel) increases.
    pixels = _floats(photo)
    value = pixels.max(axis=2, keepdims=True)
    brighter = np.minimum(value + added, 1)
    scaled = pixels * (brighter / np.maximum(value, 1e-6))
    return _photo(np.where(value > 0, scaled, brighter))  # black has no hue and becomes gray


def _rotation(photo: Photo, degrees: float, rng: np.random.Generator) -> Photo:
    side = 1 if rng.random() < 0.5 else -1
    return photo.rotate(side * degrees, Image.Resampling.BILINEAR, fillcolor=GRAY)


def _occlusion(photo: Photo, share: float, rng: np.random.Generator) -> Photo:
    width, height = (max(1, round(side * share**0.5)) for side in photo.size)
    left = round(rng.random() * (photo.width - width))
    top = round(rng.random() * (photo.height - height))
    covered = photo.copy()
    covered.paste(GRAY, (left, top, left + width, top + height))
    return covered


CORRUPTIONS = {
    "blur": Corruption(_blur, (1, 3, 6), "standard deviation, pixels"),
    "noise": Corruption(_noise, (0.08, 0.18, 0.38), "standard deviation, share of the full range"),
    "jpeg": Corruption(_jpeg, (25, 15, 7), "JPEG quality"),
    "brightness": Corruption(_brightness, (0.1, 0.3, 0.5), "added, share of the full range"),
    "rotation": Corruption(_rotation, (10, 25, 45), "degrees, to either side"),
    "occlusion": Corruption(_occlusion, (0.1, 0.25, 0.4), "share of the photo that is covered"),
}


def corrupt(photo: Photo, name: str, strength: int, sha256: str) -> Photo:
    """Corrupt a photo.

    The photo is first scaled so that its shorter side has `SIDE` pixels, because strengths are in
    pixels.

    Parameters
    ----------
    photo : PIL.Image.Image
        Upright RGB, from `images.read_photo`; it is not changed.
    name : str
        A key of `CORRUPTIONS`; ignored at strength 0.
    strength : int
        0 (only scaled), 1 (light), 2 or 3 (heavy).
    sha256 : str
        Hexadecimal sha256 of the photo's file, which seeds all random choices. They do not depend
        on the strength: the noise pattern and the occluded position stay the same.

    Returns
    -------
    PIL.Image.Image
        RGB; the shorter side has `SIDE` pixels.

    Raises
    ------
    ArgumentError
        When the corruption or strength does not exist.

    References
    ----------
    D. Hendrycks, T. Dietterich: Benchmarking neural network robustness to common corruptions and
    perturbations. International Conference on Learning Representations, 2019.
    T. DeVries, G. W. Taylor: Improved regularization of convolutional neural networks with
    cutout. arXiv 1708.04552, 2017 (the occlusion).
    """
    if strength not in (0, 1, 2, 3):
        raise ArgumentError(f"The strength must be 0, 1, 2 or 3, not {strength}.")
    if strength and name not in CORRUPTIONS:
        raise ArgumentError(f"There is no corruption {name!r}: choose from {list(CORRUPTIONS)}.")
    scale = SIDE / min(photo.size)
    width, height = (max(SIDE, round(side * scale)) for side in photo.size)
    scaled = photo.resize((width, height), Image.Resampling.BILINEAR)
    if strength == 0:
        return scaled
    seed = [int(sha256[:16] or "0", 16), zlib.crc32(name.encode())]
    way = CORRUPTIONS[name]
    return way.apply(scaled, way.strengths[strength - 1], np.random.default_rng(seed))


def _floats(photo: Photo) -> NDArray[np.float32]:
    return np.asarray(photo, dtype=np.float32) / np.float32(255)


def _photo(pixels: NDArray[np.float32]) -> Photo:
    return Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
