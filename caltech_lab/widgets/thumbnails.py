"""Small copies of photos, for a page."""

import io

from PIL import Image

SIDE = 160  # pixels: sharp at the 120 or so that a card shows


def thumbnail(photo: Image.Image, side: int = SIDE) -> bytes:
    """Shrink a photo until it fits into a square, with its proportions kept.

    Parameters
    ----------
    photo : PIL.Image.Image
        As `read_photo` gives it; it is not changed. A smaller photo is not enlarged.
    side : int
        Side of the square, in pixels.

    Returns
    -------
    bytes
        A JPEG file.
    """
    small = photo.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
