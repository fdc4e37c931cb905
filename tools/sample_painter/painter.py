"""Draws one picture from its category and number.

Each picture has its own random stream, named by the seed, the category and the
number. A picture can therefore be drawn without the others, and a new category
does not change the existing ones.
"""

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from caltech_lab.errors import DatasetError
from tools.sample_painter.brush import Brush, Chance, moved, petal
from tools.sample_painter.motifs import MOTIFS, Motif
from tools.sample_painter.scenery import LEAVES, SCENES, Pixels

SEED: int = 101
LEAFY = ("garden", "meadow", "street", "pond", "room", "lawn", "sky")


def draw(category: str, number: int, seed: int = SEED) -> Image.Image:
    """Draw one photo.

    Parameters
    ----------
    category : str
        One of `MOTIFS`.
    number : int
        Which photo of the category, from 1.
    seed : int
        Seed of the whole set.

    Returns
    -------
    PIL.Image.Image
        250 to 300 pixels by 196 to 240, upright or wide; mode RGB, or L for the few photos
        without color.

    Raises
    ------
    DatasetError
        When no such category can be drawn.

    Examples
    --------
    >>> draw("pizza", 1).size == draw("pizza", 1).size
    True
    """
    if category not in MOTIFS:
        raise DatasetError(
            f"{category} cannot be drawn: choose one of {', '.join(sorted(MOTIFS))}."
        )
    c, motif = Chance(f"{seed}/{category}/{number}"), MOTIFS[category]
    long, short = c.whole(250, 300), c.whole(196, 240)
    width, height = (long, short) if c.happens(0.65) else (short, long)
    scene, horizon = c.pick(motif.scenes), c.between(0.5, 0.68)
    photo = SCENES[scene](c, width, height, horizon)
    matrix = _pose(motif, c, width, height, horizon)
    brush = Brush(width, height, matrix, oversample=3)
    motif.paint(brush, c)
    thing = brush.image()
    _cast_shadow(photo, thing, motif, matrix, c)
    photo.paste(thing, (0, 0), thing)
    if scene in LEAFY and c.happens(0.25):
        _hang_leaves(photo, c)
    if motif.mirrored and c.happens(0.5):
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _develop(photo, c)


def _pose(motif: Motif, c: Chance, width: int, height: int, horizon: float) -> Pixels:
    """Choose position, size and slant of the motif, as a homography."""
    radius = min(width, height) / 2 * c.between(0.62, 0.98)
    turn = np.deg2rad(c.between(-motif.tilt, motif.tilt))
    x = width / 2 + c.between(-0.6, 0.6) * max(width / 2 - radius, 8)
    y = height / 2 + c.between(-0.6, 0.6) * max(height / 2 - radius, 8)
    cos, sin = np.cos(turn), np.sin(turn)
    view = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    if motif.pose == "lying":
        view = np.diag([1.0, c.between(0.78, 1.0), 1.0]) @ view
    elif motif.pose == "free":
        lean = np.array([[c.between(0.84, 1.0), c.between(-0.1, 0.1), 0], [0, 1, 0], [0, 0, 1]])
        view = lean @ view
    elif motif.pose in ("standing", "floating"):
        ground = height * min(horizon + c.between(0.06, 0.2), 0.9)
        y = max(ground - 0.9 * radius, radius)
    if motif.pose != "resting":
        view = np.array([[1, 0, 0], [0, 1, 0], [*(c.between(-0.1, 0.1) for _ in "xy"), 1]]) @ view
    matrix: Pixels = np.array([[radius, 0, x], [0, radius, y], [0, 0, 1]]) @ view
    return matrix


def _cast_shadow(
    photo: Image.Image, thing: Image.Image, motif: Motif, matrix: Pixels, c: Chance
) -> None:
    """Darken the ground under or behind the motif."""
    if motif.pose in ("lying", "resting"):
        reach = float(np.hypot(matrix[0, 0], matrix[1, 0])) * c.between(0.03, 0.1)
        shade = Image.new("L", photo.size)
        shade.paste(thing.getchannel("A"), (round(reach), round(1.2 * reach)))
        shade = shade.filter(ImageFilter.GaussianBlur(reach))
    elif motif.pose == "standing":
        layer = Brush(*photo.size, matrix)
        layer.ellipse(0.15, 0.94, 1.0, 0.12, (0, 0, 0), blur=0.09)
        shade = layer.image().getchannel("A")
    else:
        return
    photo.paste((16, 12, 14), (0, 0), ImageChops.multiply(shade, Image.new("L", shade.size, 145)))


def _hang_leaves(photo: Image.Image, c: Chance) -> None:
    """Paint a twig that enters from one side, near the lens and out of focus."""
    width, height = photo.size
    brush, color = Brush(width, height), c.tint(c.pick(LEAVES))
    left, y = c.happens(0.5), c.between(0.1, 1) * height
    for _ in range(c.whole(2, 5)):
        turn = c.between(-0.7, 0.7) + (0 if left else np.pi)
        leaf = petal(c.between(45, 100), c.between(14, 32))
        brush.polygon(
            moved(leaf, -5 if left else width + 5, y + c.between(-30, 30), turn), c.tint(color, 24)
        )
    twig = brush.image().filter(ImageFilter.GaussianBlur(c.between(1, 3)))
    photo.paste(twig, (0, 0), twig)


def _develop(photo: Image.Image, c: Chance) -> Image.Image:
    """Apply focus, light, contrast, vignette and grain, and sometimes convert to grayscale."""
    width, height = photo.size
    if c.happens(0.3):
        photo = photo.filter(ImageFilter.GaussianBlur(c.between(0.3, 0.8)))
    pixels = np.asarray(photo, np.float32)
    warmth, gain, contrast = c.between(-0.09, 0.11), c.between(0.8, 1.1), c.between(0.88, 1.14)
    pixels = pixels * np.array([1 + warmth, 1, 1 - warmth], np.float32) * gain
    pixels = (pixels - 118) * contrast + 118
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    pixels *= (1 - c.between(0, 0.28) * ((x * x + y * y) / 2) ** 1.5)[..., None]
    pixels += c.grain(height, width)[..., None] * c.between(0.5, 4.5)
    photo = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return photo.convert("L") if c.happens(0.05) else photo
