"""Figures of photos."""

from collections.abc import Iterable, Sequence
from functools import partial
from io import BytesIO
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps

from caltech_lab.errors import shown_name
from caltech_lab.plots.style import in_figure


def grid_of_photos(
    images: Iterable[Any],
    titles: Sequence[str] = (),
    columns: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Show photos in a grid, each with its title and in its own aspect ratio.

    Parameters
    ----------
    images : iterable of PIL images or of uint8 arrays (height, width, 3)
        Photos in reading order. Only small copies are kept, so that a generator needs memory for
        one photo at a time.
    titles : sequence of str
        One title per photo, of one or more lines; empty for no titles.
    columns : int
        Photos per row.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One unit wide per photo.
    """
    # A comprehension would keep each photo in memory until the next one is loaded.
    shown = list(map(partial(_small, side=max(640, 1800 // columns)), images))
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    height = 1.22 if titles else 1.04
    if ax is None:
        ax = plt.subplots(figsize=(9, 9 * rows * height / columns), layout="constrained")[1]
    for number, pixels in enumerate(shown):
        tall, wide = pixels.shape[:2]
        half_x, half_y = np.array([wide, tall]) / max(wide, tall) / 2 * 0.96
        x, y = number % columns + 0.5, (number // columns) * height + height - 0.52
        # Row 0 of the pixels is at the top, because the y axis points down (below).
        ax.imshow(pixels, extent=(x - half_x, x + half_x, y + half_y, y - half_y))
        if titles:
            lines = (in_figure(line, max(8, 144 // columns)) for line in titles[number].split("\n"))
            ax.text(x, y - 0.52, "\n".join(lines), ha="center", va="bottom", fontsize=7)
    ax.set(xlim=(0, columns), ylim=(rows * height, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def words_as_photo(words: str, side: int) -> Image.Image:
    """Draw a query in words as a square tile, to stand in a grid of photos.

    Parameters
    ----------
    words : str
        The query; of a long one, the beginning is shown.
    side : int
        Side of the tile, in pixels.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.
    """
    lines = wrap(shown_name(words), 15, max_lines=8, placeholder=" …")
    text = "\n".join(in_figure(line, 20) for line in lines)  # may add a font
    figure = Figure(figsize=(2.4, 2.4), dpi=side / 2.4, facecolor="0.93")
    family = plt.rcParams["font.family"]
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=13, family=family)
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    return Image.open(drawn).convert("RGB")


def _small(image: Any, side: int) -> NDArray[np.uint8]:
    """Return the pixels of a photo, reduced to at most `side` pixels on the longer side."""
    if isinstance(image, Image.Image) and max(image.size) > side:
        image = ImageOps.contain(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)
