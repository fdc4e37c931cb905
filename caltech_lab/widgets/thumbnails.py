"""Small copies of photos, for a page."""

import io
from pathlib import Path

from PIL import Image

SIDE = 160  # pixels: sharp at the 120 or so that a card shows
SMALL = 40_000  # bytes


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
    buffer = io.BytesIO()
    shrunk(photo, side).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def shrunk(photo: Image.Image, side: int) -> Image.Image:
    """Return a photo that fits into a square, with its proportions kept.

    Parameters
    ----------
    photo : PIL.Image.Image
        It is not changed, and is returned itself when it fits.
    side : int
        Side of the square, in pixels.
    """
    longest = max(photo.size)
    if longest <= side:
        return photo
    width, height = (max(1, round(length * side / longest)) for length in photo.size)
    return photo.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def small_jpeg(file: Path) -> bytes | None:
    """Return a photo as it is on disk, if a page can show it as it is.

    To read a file takes a tenth of the time of making a thumbnail, and an answer shows up to fifty.

    Parameters
    ----------
    file : Path
        A photo that was read before, when the gallery was embedded.

    Returns
    -------
    bytes or None
        A JPEG file of at most `SMALL` bytes, or None when this is none.
    """
    try:
        if file.stat().st_size > SMALL:
            return None
        data = file.read_bytes()
    except OSError:
        return None
    return data if data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9") else None
