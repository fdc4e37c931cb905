"""Internals of `images.read_photo`: Pillow's readers, size limits, orientation and colors.

The reader of each format is called directly, a photo's size is checked before any of its pixels is
decoded, and Pillow's warnings are suppressed. All functions are thread-safe.
"""

import io
import logging
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from caltech_lab.storage.threads import Budget

MAX_BYTES = 128 * 2**20
MAX_PIXELS = 64 * 10**6
MAX_SIDE = 30_000
# A larger JPEG is decoded at a half or a quarter of its sides by scaling its cosine transform, to
# at most `MAX_REDUCED` pixels. If it is stored in several scans, as a progressive JPEG is, all its
# coefficients are kept in memory until the last scan: 6 bytes per pixel.
MAX_JPEG_PIXELS = 256 * 10**6
MAX_SCANS_PIXELS = 110 * 10**6
MAX_REDUCED = 32 * 10**6
BYTES_PER_PIXEL = 12  # at most: the decoder's planes, its result, and the upright RGB copy
MEMORY = Budget(2**30)  # bytes, for all photos that are being decoded
UNCOUNTED = 24 * 2**20  # bytes; a photo that needs no more is decoded without waiting

_WARNINGS = threading.Lock()
# Errors that it logs are also raised, and reported as a `PhotoError`.
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Pillow's warnings.

    Warnings can be suppressed only for the whole process. Therefore there is a lock, the filter
    covers only Pillow, and photos as cameras write them are read without it.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


# ---- readers ---------------------------------------------------------------------------------


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        # The print resolution is not needed, and reading it warns if the EXIF block is corrupt.
        pass

    def comes_in_scans(self) -> bool:
        """Return whether no single scan of the file contains the whole picture."""
        assert isinstance(self.fp, io.BytesIO)  # positioned after the first scan's header
        first = self.fp.getvalue().rfind(b"\xff\xda", 0, self.fp.tell())
        return "progressive" in self.info or self.fp.getvalue()[first + 4] < self.layers


class _Tiff(TiffImageFile):
    def _open(self) -> None:
        super()._open()
        # The stored size, not the upright one, as for the other formats.
        if self.tag_v2.get(Base.Orientation) in (5, 6, 7, 8):
            self._size = self.height, self.width
        with suppress(Exception):
            self.getexif()  # cached for `orientation`, because decoding closes the file
        self.tile_sides = self.tag_v2.get(322, 0), self.tag_v2.get(323, 0)

    def load_end(self) -> None:
        # Pillow would read all other metadata here, which may be corrupt, and rotate the photo.
        pass


def _avif(file: io.BytesIO) -> ImageFile:
    try:
        return AvifImageFile(file)
    except Exception:
        data = file.getvalue()
        if b"Exif" not in data:
            raise
        # Perhaps only the EXIF block is corrupt, and the container has its own orientation. Under
        # an unknown name, the block is skipped.
        return AvifImageFile(io.BytesIO(data.replace(b"Exif", b"none", 1)))


def _heic(file: io.BytesIO) -> ImageFile:
    from pillow_heif import HeifImageFile  # takes three times as long to import as Pillow

    image: ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image


# Called directly, not through `Image.open`, which warns about large images before their size can
# be checked, and opens JPEGs from phones as a separate format (MPO).
_READERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "TIFF": _Tiff,
    "HEIC": _heic,
    "AVIF": _avif,
}


def opened(data: bytes, kind: str) -> ImageFile:
    """Read the header of a photo in one of the `FORMATS`; damage may raise any exception."""
    # These may warn about the header, such as its metadata or a broken animation.
    loud = kind in ("GIF", "TIFF", "AVIF") or (kind == "PNG" and b"acTL" in data)
    with _quiet() if loud else nullcontext():
        return _READERS[kind](io.BytesIO(data))


# ---- size ------------------------------------------------------------------------------------


class TooLargeError(Exception):
    """Raised if a photo is too large; the message is the end of a sentence: "<name> has ..."."""


def drafted(image: ImageFile) -> int:
    """Refuse a photo that is too large, and set up a very large JPEG for reduced-scale decoding.

    Returns
    -------
    int
        Upper bound of the memory needed for decoding, in bytes.

    Raises
    ------
    TooLargeError
        When the photo is too large; no pixel has been decoded yet.
    """
    width, height = image.size
    pixels, scale, held = width * height, 1, 0
    large = pixels > MAX_PIXELS or max(width, height) > MAX_SIDE
    if isinstance(image, _Jpeg) and (large or BYTES_PER_PIXEL * pixels > UNCOUNTED):
        scans = image.comes_in_scans()
        most, kind = (MAX_SCANS_PIXELS, "progressive JPEG") if scans else (MAX_JPEG_PIXELS, "JPEG")
        if pixels > most:
            raise TooLargeError(
                f"{width} x {height} pixels, and of a {kind} at most {most / 1e6:.0f} million are "
                "read"
            )
        held = 6 * pixels if scans else 0
        while large and (pixels > MAX_REDUCED * scale**2 or max(width, height) > MAX_SIDE * scale):
            scale *= 2
        if large:
            image.draft(None, (max(1, width // scale), max(1, height // scale)))
    elif large:
        raise TooLargeError(
            f"{width} x {height} pixels, and at most {MAX_PIXELS / 1e6:.0f} million and "
            f"{MAX_SIDE:,} a side are read"
        )
    if isinstance(image, _Tiff):
        across, down = image.tile_sides
        if across * down > MAX_PIXELS:  # each is decoded completely, however small the photo
            raise TooLargeError(f"tiles of {across} x {down} pixels")
        pixels = max(pixels, across * down)
    return held + BYTES_PER_PIXEL * pixels // scale**2


def share(needed: int) -> AbstractContextManager[None]:
    """Reserve memory for decoding a photo, waiting while other threads use it."""
    return MEMORY.share(needed) if needed > UNCOUNTED else nullcontext()


# ---- orientation -----------------------------------------------------------------------------

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Metadata of a PNG that may give its orientation, and may come after its pixels.
METADATA_OF_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_RAW_EXIF, _XMP = "Raw profile type exif", ("XML:com.adobe.xmp", "xmp")


def orientation(image: ImageFile) -> int:
    """Return the EXIF orientation; 1 if there is none or its block is corrupt.

    Pillow finds it in any form of EXIF and in XMP, and warns about what it cannot read. EXIF as
    cameras write it is parsed here, without warnings and without a lock.
    """
    if image.format == "HEIF":  # already rotated by its decoder, as the container says
        return 1
    info = image.info
    if "exif" in info:
        found = plain_orientation(info["exif"])
    else:
        found = None if _RAW_EXIF in info or isinstance(image, _Tiff) else 0
    if found == 0 and not any("tiff:Orientation" in repr(info.get(key)) for key in _XMP):
        found = 1
    if not found:
        with _quiet(), suppress(Exception):
            found = Image.Image.getexif(image).get(Base.Orientation)
    return found or 1


def plain_orientation(exif: bytes) -> int | None:
    """Read EXIF tag 274 as cameras write it: a single SHORT value in the first directory.

    Parameters
    ----------
    exif : bytes
        An EXIF block.

    Returns
    -------
    int or None
        The orientation; 0 if there is no such tag; None if the block has a different form.

    References
    ----------
    CIPA DC-008, Exchangeable image file format for digital still cameras, section 4.6.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == Base.Orientation:
                return int(value) if (kind, count) == (3, 1) else None
    except struct.error:
        return None
    return 0


# ---- colors ----------------------------------------------------------------------------------


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB; an RGB image is returned itself."""
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        gray[gray == image.info.get("transparency", -1)] = 65535
        return Image.fromarray(((gray + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretched(values: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale 32-bit gray, whose white point is unknown, so that its range becomes 0 to 255."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    gray = np.empty(values.shape, np.uint8)
    for row, target in zip(values, gray, strict=True):  # row by row: 8 bytes per pixel
        finite = np.nan_to_num(row, nan=low, posinf=high, neginf=low)
        target[:] = np.interp(finite, (low, high), (0, 255)) + 0.5
    return gray
