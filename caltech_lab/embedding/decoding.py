"""What stands behind the door for pixels: Pillow's readers, their limits, and which side is up.

`images.read_photo` is the door. The readers are called by name, a photo's size is looked at before
any of its pixels is decoded, and Pillow's warnings stay inside. Everything here may be called from
several threads at once.
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
# A larger JPEG is decoded at a half or a quarter of its sides by scaling its cosine transform, so
# that at most `MAX_REDUCED` pixels come out. Where the picture comes in several scans, as in a
# progressive JPEG, all its coefficients are held until the last: 6 bytes per pixel.
MAX_JPEG_PIXELS = 256 * 10**6
MAX_SCANS_PIXELS = 110 * 10**6
MAX_REDUCED = 32 * 10**6
BYTES_PER_PIXEL = 12  # a decoder's own planes, its result, and that as upright RGB, at the most
MEMORY = Budget(2**30)  # bytes that all photos may take together while they are decoded
UNCOUNTED = 24 * 2**20  # bytes of a photo that does not wait for others

_WARNINGS = threading.Lock()
# What it logs as an error is raised as well, and told in the sentence on the photo.
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings in.

    Warnings can be silenced only for the whole process, hence the lock, the filter for Pillow
    alone, and nothing of it for photos as cameras write them.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


# ---- readers ---------------------------------------------------------------------------------


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        # We need no print resolution, and looking for it warns where the EXIF block is corrupt.
        pass

    def comes_in_scans(self) -> bool:
        """Tell whether no single scan of the file holds the whole picture."""
        assert isinstance(self.fp, io.BytesIO)  # its place is behind the first scan's header
        first = self.fp.getvalue().rfind(b"\xff\xda", 0, self.fp.tell())
        return "progressive" in self.info or self.fp.getvalue()[first + 4] < self.layers


class _Tiff(TiffImageFile):
    def _open(self) -> None:
        super()._open()
        # Stored and not upright, as the size of other formats is told.
        if self.tag_v2.get(Base.Orientation) in (5, 6, 7, 8):
            self._size = self.height, self.width
        with suppress(Exception):
            self.getexif()  # kept for `orientation`, since the file is gone after decoding
        self.tile_sides = self.tag_v2.get(322, 0), self.tag_v2.get(323, 0)

    def load_end(self) -> None:
        # Pillow reads all other metadata here, which may be corrupt, and turns the photo.
        pass


def _avif(file: io.BytesIO) -> ImageFile:
    try:
        return AvifImageFile(file)
    except Exception:
        data = file.getvalue()
        if b"Exif" not in data:
            raise
        # The block may be all that is corrupt, and the container knows by itself which side is up:
        # a kind of metadata that nobody knows is passed over.
        return AvifImageFile(io.BytesIO(data.replace(b"Exif", b"none", 1)))


def _heic(file: io.BytesIO) -> ImageFile:
    from pillow_heif import HeifImageFile  # three times as slow to import as all of Pillow

    image: ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image


# They are called by name, not through `Image.open`, which warns of large images before we can
# look at their size, and takes phones' JPEGs for a format of its own (MPO).
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
    """Read the head of a photo, whose format is one of `FORMATS`; damage raises nearly anything."""
    # These may warn of what stands in the head, such as metadata or a broken animation.
    loud = kind in ("GIF", "TIFF", "AVIF") or (kind == "PNG" and b"acTL" in data)
    with _quiet() if loud else nullcontext():
        return _READERS[kind](io.BytesIO(data))


# ---- size ------------------------------------------------------------------------------------


class TooLargeError(Exception):
    """What a photo has too many of, as the rest of a sentence."""


def drafted(image: ImageFile) -> int:
    """Refuse a photo that is too large, and have a very large JPEG decoded at a reduced scale.

    Returns
    -------
    int
        The bytes of memory that decoding takes at the most.

    Raises
    ------
    TooLargeError
        Before any pixel is decoded.
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
        if across * down > MAX_PIXELS:  # each is decoded whole, however small the photo
            raise TooLargeError(f"tiles of {across} x {down} pixels")
        pixels = max(pixels, across * down)
    return held + BYTES_PER_PIXEL * pixels // scale**2


def share(needed: int) -> AbstractContextManager[None]:
    """Hold memory for decoding a photo, and wait while the photos of other threads need it."""
    return MEMORY.share(needed) if needed > UNCOUNTED else nullcontext()


# ---- which side is up ------------------------------------------------------------------------

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What may tell the orientation of a PNG, and may stand behind its pixels.
METADATA_OF_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_RAW_EXIF, _XMP = "Raw profile type exif", ("XML:com.adobe.xmp", "xmp")


def orientation(image: ImageFile) -> int:
    """Return the orientation as EXIF counts it, 1 where there is none or its block is corrupt.

    Pillow finds it in EXIF of any form and in XMP, and warns of what it cannot read. EXIF as
    cameras write it is read here, without warning and without a lock.
    """
    if image.format == "HEIF":  # turned by its decoder, by what the container says
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
    """Read tag 274 where it is as cameras write it: one short number in the first directory.

    Parameters
    ----------
    exif : bytes
        An EXIF block.

    Returns
    -------
    int or None
        The orientation, 0 where there is no such tag; None where the block is of another form.

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
    """Return 8 bits of red, green and blue; the image itself where it has them already."""
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
    """Map gray of 32 bits, whose white nobody knows, from its darkest to its lightest."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    gray = np.empty(values.shape, np.uint8)
    for row, target in zip(values, gray, strict=True):  # few at a time: they take 8 bytes each
        finite = np.nan_to_num(row, nan=low, posinf=high, neginf=low)
        target[:] = np.interp(finite, (low, high), (0, 255)) + 0.5
    return gray
