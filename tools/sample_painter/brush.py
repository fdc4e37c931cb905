"""A small vector brush for smooth shapes with gradients, and reproducible random choices."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Color = tuple[int, ...]  # red, green, blue and, in a gradient, opacity; each 0 to 255
Point = tuple[float, float]
Points = NDArray[np.float64]  # shape (n, 2): x to the right, y down
Field = NDArray[np.float32]  # shape (height, width)
T = TypeVar("T")


class Chance:
    """Random choices that are the same in all Python and NumPy versions.

    Only `random.Random.random` and NumPy's legacy `RandomState` guarantee
    this, so everything here is built on those two.

    Parameters
    ----------
    name : str
        Name of the random stream, which serves as its seed.
    """

    def __init__(self, name: str) -> None:
        self._random = random.Random(name)
        self._noise = np.random.RandomState(int(self._random.random() * 2**32))

    def between(self, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        return low + (high - low) * self._random.random()

    def whole(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + int((high - low + 1) * self._random.random())

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[int(len(options) * self._random.random())]

    def happens(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random.random() < probability

    def tint(self, color: Color, spread: float = 14) -> Color:
        """Return the color with each channel changed by up to `spread`."""
        return tuple(min(255, max(0, round(v + self.between(-spread, spread)))) for v in color)

    def grain(self, height: int, width: int) -> Field:
        """Return independent noise per pixel, of mean 0 and standard deviation 1."""
        return self._noise.standard_normal((height, width)).astype(np.float32)

    def clouds(
        self, width: int, height: int, across: float, down: float, octaves: int = 3
    ) -> Field:
        """Return smooth noise from 0 to 1 with about `across` x `down` hills."""
        total = np.zeros((height, width), np.float32)
        for octave in range(octaves):
            cells = (max(2, round(across * 2**octave)), max(2, round(down * 2**octave)))
            rough = self._noise.random_sample(cells[::-1]).astype(np.float32)
            smooth = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
            total += np.asarray(smooth) / 2**octave
        total -= total.min()
        scaled: Field = total / max(float(total.max()), 1e-6)
        return scaled


def mix(a: Color, b: Color, t: float) -> Color:
    """Return the color that lies the fraction `t` of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * t) for x, y in zip(a, b, strict=True))


def darker(color: Color, amount: float = 0.4) -> Color:
    """Return the color mixed with black."""
    return mix(color, (0, 0, 0), amount)


def lighter(color: Color, amount: float = 0.4) -> Color:
    """Return the color mixed with white."""
    return mix(color, (255, 255, 255), amount)


@dataclass(frozen=True)
class Linear:
    """A gradient from one point to another."""

    start: Point
    end: Point
    colors: Sequence[Color]


@dataclass(frozen=True)
class Radial:
    """A gradient from a center outwards."""

    center: Point
    radius: float
    colors: Sequence[Color]


Fill = Color | Linear | Radial


def ring(x: float, y: float, rx: float, ry: float, turn: float = 0.0, n: int = 72) -> Points:
    """Return the outline of an ellipse, turned by `turn` radians."""
    t = np.linspace(0, 2 * math.pi, n, endpoint=False)
    return moved(np.column_stack((rx * np.cos(t), ry * np.sin(t))), x, y, turn)


def moved(points: ArrayLike, x: float, y: float, turn: float = 0.0, size: float = 1.0) -> Points:
    """Return the points scaled by `size`, turned by `turn` radians, then shifted."""
    c, s = size * math.cos(turn), size * math.sin(turn)
    there: Points = np.asarray(points, dtype=float) @ np.array([[c, s], [-s, c]]) + (x, y)
    return there


def curve(points: ArrayLike, closed: bool = True, steps: int = 10) -> Points:
    """Return a Catmull-Rom spline through the points."""
    p = np.asarray(points, dtype=float)
    p = np.vstack((p[-1:], p, p[:2])) if closed else np.vstack((p[:1], p, p[-1:]))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    spline = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    outline = spline.reshape(-1, 2)
    return outline if closed else np.vstack((outline, p[-2:-1]))


def petal(length: float, width: float, blunt: float = 1.0) -> Points:
    """Return a petal that grows from the origin along x; `blunt` < 1 is rounder at its end."""
    t = np.linspace(0, 1, 14)
    half = width / 2 * np.sin(math.pi * t**blunt) ** 0.8
    side = np.column_stack((t * length, half))
    return np.vstack((side, side[-2:0:-1] * (1, -1)))


class Brush:
    """A transparent layer to paint shapes on.

    Parameters
    ----------
    width, height : int
        Size of the layer in pixels of the finished photo.
    matrix : array_like of shape (3, 3), optional
        Homography from the painter's coordinates to the photo's pixels.
    oversample : int
        How many times larger shapes are drawn, before they are averaged down.
    """

    def __init__(
        self, width: int, height: int, matrix: ArrayLike | None = None, oversample: int = 2
    ) -> None:
        self._oversample = oversample
        self._size = (width * oversample, height * oversample)
        m = np.eye(3) if matrix is None else np.asarray(matrix, dtype=float)
        self._matrix = np.diag([oversample, oversample, 1.0]) @ m
        self._scale = math.sqrt(abs(np.linalg.det(self._matrix[:2, :2])))
        self._color = Image.new("RGB", self._size)
        self._alpha = Image.new("L", self._size)

    def _place(self, points: ArrayLike) -> Points:
        p = np.asarray(points, dtype=float).reshape(-1, 2)
        q = np.column_stack((p, np.ones(len(p)))) @ self._matrix.T
        placed: Points = q[:, :2] / q[:, 2:]
        return placed

    def polygon(
        self,
        points: ArrayLike,
        fill: Fill,
        opacity: float = 1.0,
        blur: float = 0.0,
        atop: bool = False,
        width: float | None = None,
    ) -> None:
        """Paint a filled outline, or a stroke.

        Parameters
        ----------
        points : array_like of shape (n, 2)
            The corners, in the painter's coordinates.
        fill : Color, Linear or Radial
            One color or a gradient.
        opacity : float
            From 0 (nothing) to 1.
        blur : float
            Softness of the edge, in the painter's units.
        atop : bool
            Paint only where something is painted already: for light and shade.
        width : float, optional
            Paint a round-ended line of this width through the points instead.
        """
        xy = self._place(points)
        pen = 0.0 if width is None else max(1.0, width * self._scale)
        soft = blur * self._scale
        margin = 2.5 * soft + pen / 2 + 1
        left, top = (max(0, int(v)) for v in xy.min(axis=0) - margin)
        right, bottom = (
            min(s, int(v) + 1) for s, v in zip(self._size, xy.max(axis=0) + margin, strict=True)
        )
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", (right - left, bottom - top))
        ink = ImageDraw.Draw(mask)
        value = round(255 * opacity)
        corners = [(float(x), float(y)) for x, y in xy - (left, top)]
        if width is None:
            ink.polygon(corners, fill=value)
        else:
            ink.line(corners, fill=value, width=round(pen), joint="curve")
            for x, y in corners if pen > 3 * self._oversample else (corners[0], corners[-1]):
                ink.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=value)
        if soft:
            mask = mask.filter(ImageFilter.GaussianBlur(soft))
        self._stamp(mask, (left, top, right, bottom), fill, atop, soft > 0 or opacity < 1)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Fill,
        turn: float = 0.0,
        opacity: float = 1.0,
        blur: float = 0.0,
        atop: bool = False,
    ) -> None:
        """Paint an ellipse; the rest is as in `polygon`."""
        n = 16 if max(rx, ry) * self._scale < 12 else 72
        self.polygon(ring(x, y, rx, ry, turn, n), fill, opacity, blur, atop)

    def line(
        self,
        points: ArrayLike,
        width: float,
        fill: Fill,
        opacity: float = 1.0,
        blur: float = 0.0,
        atop: bool = False,
    ) -> None:
        """Paint a round-ended line; the rest is as in `polygon`."""
        self.polygon(points, fill, opacity, blur, atop, width)

    def _stamp(
        self,
        mask: Image.Image,
        box: tuple[int, int, int, int],
        fill: Fill,
        atop: bool,
        soft: bool,
    ) -> None:
        """Paint a fill over a box of the layer, through a mask."""
        if atop:
            mask = ImageChops.multiply(mask, self._alpha.crop(box))
        ink: Color | Image.Image
        if isinstance(fill, tuple):
            ink = fill
        else:
            ink, *opacity = self._gradient(fill, box)
            if opacity:
                mask = ImageChops.multiply(mask, opacity[0])
        if not atop:
            if soft:  # must not mix with the black of the empty layer
                self._color.paste(ink, box, ImageChops.invert(self._alpha.crop(box)))
            self._alpha.paste(255, box, mask)
        self._color.paste(ink, box, mask)

    def _gradient(self, fill: Linear | Radial, box: tuple[int, int, int, int]) -> list[Image.Image]:
        """Return the colors of a gradient over a box and, where it has one, its opacity."""
        left, top, right, bottom = box
        size = (right - left, bottom - top)
        small = tuple(-(-s // 4) for s in size)  # smooth, so a quarter of the size is enough
        x = left + (np.arange(small[0], dtype=np.float32)[None, :] + 0.5) * size[0] / small[0]
        y = top + (np.arange(small[1], dtype=np.float32)[:, None] + 0.5) * size[1] / small[1]
        if isinstance(fill, Linear):
            (x0, y0), (x1, y1) = self._place([fill.start, fill.end])
            span = (x1 - x0) ** 2 + (y1 - y0) ** 2
            t = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / max(span, 1e-9)
        else:
            ((x0, y0),) = self._place([fill.center])
            t = np.sqrt((x - x0) ** 2 + (y - y0) ** 2) / (fill.radius * self._scale)
        stops = np.asarray(fill.colors, dtype=float)
        at = np.linspace(0, 1, len(stops))
        steps = np.linspace(0, 1, 256)
        table = np.column_stack([np.interp(steps, at, channel) for channel in stops.T])
        levels = (np.clip(t, 0, 1) * 255).astype(np.uint8)
        shade = np.rint(table).astype(np.uint8)[levels]
        parts = [shade[..., :3], *(shade[..., 3:4].squeeze(2) for _ in stops.T[3:])]
        return [
            Image.fromarray(np.ascontiguousarray(part)).resize(size, Image.Resampling.BILINEAR)
            for part in parts
        ]

    def image(self) -> Image.Image:
        """Return the layer as an RGBA image of the photo's size."""
        return Image.merge("RGBA", (*self._color.split(), self._alpha)).reduce(self._oversample)
