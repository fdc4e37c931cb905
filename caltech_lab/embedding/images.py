"""The only door by which pixels enter: a file or bytes in, an upright RGB image out.

Photos come from strangers, so the kind of a file is told by its first bytes and never by its
name, its size is looked at before any pixel is decoded, and whatever is wrong with it ends as a
`PhotoError`. Everything here may be called from several threads at once.
"""

import io
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from caltech_lab.datasets.photos import Photos
from caltech_lab.errors import ArgumentError, PhotoError, shown_name
from caltech_lab.storage.progress import progress
from caltech_lab.storage.threads import map_ahead

T = TypeVar("T")

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6
MAX_SIDE = 30_000
SMALL = 2**21
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        # We need no print resolution, and looking for it warns where the EXIF block is corrupt.
        pass


# Pillow's readers are called by name, not through `Image.open`, which warns of large images
# before we can look at their size, and takes phones' JPEGs for a format of its own (MPO).
_READERS: dict[str, type[ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_WARNINGS = threading.Lock()


def read_photo(source: str | Path | bytes, name: str | None = None) -> Image.Image:
    """Decode a photo to an upright RGB image.

    The EXIF orientation is applied; transparency is laid over white; 16-bit gray is scaled to 8
    bits; of an animation the first frame is taken. Color profiles are ignored, as they are
    where networks are trained.

    Parameters
    ----------
    source : str, Path or bytes
        A file, or the content of one, such as an upload.
    name : str, optional
        What to call it where something is wrong with it; its path by default.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, 8 bits a channel, holding no metadata and no open file.

    Raises
    ------
    PhotoError
        When the file cannot be read, is no JPEG, PNG, WebP, BMP or GIF image, is damaged or cut
        short, or is larger than `MAX_BYTES`, `MAX_PIXELS` or `MAX_SIDE`.
    """
    with _opened(source, name) as image:
        image.load()
        turn = _UPRIGHT.get(_orientation(image.info.get("exif", b"")))
        rgb = _to_rgb(image)
        # What the metadata say is true of the file, and no longer of these pixels.
        rgb.info = {}
        return rgb if turn is None else rgb.transpose(turn)


class Head(NamedTuple):
    """What a photo's file says of it before any pixel: upright width and height, and the mode."""

    width: int
    height: int
    mode: str


def read_head(source: str | Path | bytes) -> Head:
    """Read what the head of a photo's file says, through the same door as the pixels.

    Parameters
    ----------
    source : str, Path or bytes
        A file, or the content of one.

    Returns
    -------
    Head
        Width and height in pixels as the upright photo has them, and Pillow's name for how
        pixels are stored, such as "RGB", or "L" for gray.

    Raises
    ------
    PhotoError
        As `read_photo` does, but for damage behind the head, which is not looked at.
    """
    with _opened(source) as image:
        width, height = image.size
        turned = _orientation(image.info.get("exif", b"")) in (5, 6, 7, 8)
        return Head(height, width, image.mode) if turned else Head(width, height, image.mode)


def readable(
    photos: Photos, work: Callable[[Path], T], rows: Iterable[int] | None = None
) -> tuple[NDArray[np.int64], list[T]]:
    """Do something with each photo, and leave out those that cannot be read.

    Several photos are worked on at once, with a progress bar. Those left out are counted in one
    line, which names the first of them.

    Parameters
    ----------
    photos : Photos
        Where the files are.
    work : callable
        Takes the path of a photo, such as `read_photo`; a `PhotoError` leaves that photo out.
    rows : iterable of int, optional
        Which of the photos; all by default.

    Returns
    -------
    rows : ndarray of int64, shape (m,)
        The photos that could be read, in the order asked for.
    results : list
        What `work` gave for each of these.

    Raises
    ------
    PhotoError
        When no photo at all could be read.
    """
    asked = list(range(len(photos)) if rows is None else rows)

    def attempt(i: int) -> T | PhotoError:
        try:
            return work(photos.file(i))
        except PhotoError as error:
            return error

    answers = list(progress(map_ahead(attempt, asked), total=len(asked), desc="Decoding"))
    failed = [answer for answer in answers if isinstance(answer, PhotoError)]
    if failed and len(failed) == len(asked):
        raise PhotoError(f"None of the {len(asked):,} photos can be read; the first: {failed[0]}")
    if failed:
        count = f"{len(failed):,} of {len(asked):,} photos"
        print(f"{count} cannot be read and are left out; the first: {failed[0]}")
    kept = [(i, a) for i, a in zip(asked, answers, strict=True) if not isinstance(a, PhotoError)]
    return np.array([i for i, _ in kept], dtype=np.int64), [answer for _, answer in kept]


def load_pixels(
    source: str | Path | bytes | Image.Image,
    size: int,
    fit: Literal["squash", "crop"],
    name: str | None = None,
) -> NDArray[np.uint8]:
    """Decode a photo and resize it to the square that a network sees.

    The photo is resampled once, by a triangle filter that widens with the reduction (bilinear
    with antialiasing). PyTorch does it in a third of Pillow's time; the two differ by rounding,
    two levels of 255 at most. Pillow resamples crops, as PyTorch takes no fraction of a pixel, and
    photos of more than `SMALL` pixels, whose copy would cost more than it saves.

    Parameters
    ----------
    source : str, Path, bytes or PIL.Image.Image
        A file, the content of one, or what `read_photo` made of it.
    size : int
        Side of the square, in pixels.
    fit : {"squash", "crop"}
        "squash" takes the whole photo and changes its proportions. "crop" keeps them: the photo
        is scaled until its shorter side is ``round(size * 256 / 224)``, then the center is cut
        out.
    name : str, optional
        As for `read_photo`.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        RGB, 0 to 255.

    Raises
    ------
    PhotoError
        As `read_photo` does.
    ArgumentError
        When `fit` is neither of the two.
    """
    if fit not in ("squash", "crop"):
        raise ArgumentError(f"There is no fit {fit!r}: choose 'squash' or 'crop'.")
    photo = source if isinstance(source, Image.Image) else read_photo(source, name)
    if fit == "squash" and photo.width * photo.height <= SMALL:
        return _squashed(np.array(photo), size)  # a copy that PyTorch may write to
    box = _center(photo.width, photo.height, size) if fit == "crop" else None
    return np.array(photo.resize((size, size), Image.Resampling.BILINEAR, box))


def _squashed(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    import torch  # a second that those who only look at photos need not wait for

    # Seen as channels first while they lie last in memory, the batch's stride as it would be in
    # a larger one: for this PyTorch has its fast path, and gives the result in the same order.
    batch = torch.from_numpy(pixels.reshape(1, *pixels.shape)).permute(0, 3, 1, 2)
    squashed = torch.nn.functional.interpolate(batch, (size, size), mode="bilinear", antialias=True)
    square: NDArray[np.uint8] = squashed.permute(0, 2, 3, 1)[0].contiguous().numpy()
    return square


def part_seen(
    width: int, height: int, size: int, fit: Literal["squash", "crop"]
) -> tuple[float, float, float, float]:
    """Tell which part of a photo `load_pixels` lets a network see.

    Parameters
    ----------
    width, height : int
        Of the photo, in pixels.
    size, fit
        As for `load_pixels`.

    Returns
    -------
    tuple of float
        Left, top, right and bottom, as shares of width and height.
    """
    if fit == "squash":
        return 0.0, 0.0, 1.0, 1.0
    left, top, right, bottom = _center(width, height, size)
    return left / width, top / height, right / width, bottom / height


def _center(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    """Where the center crop of the scaled photo lies in the photo as it is.

    Resampling this box gives what scaling first and cutting second gives, without the margins.
    """
    shorter = round(size * 256 / 224)
    scaled = [shorter * side // min(width, height) for side in (width, height)]
    left, top = (round((side - size) / 2) for side in scaled)
    x, y = width / scaled[0], height / scaled[1]
    return left * x, top * y, (left + size) * x, (top + size) * y


def _read_file(path: Path, name: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"{name} is a folder: name a file inside it.")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
            raise PhotoError(f"{name} is not an ordinary file: copy the photo into one.")
        with open(path, "rb") as file:
            return file.read(min(status.st_size, MAX_BYTES) + 1)
    except FileNotFoundError as error:
        raise PhotoError(f"{name} does not exist: check the path.") from error
    except PermissionError as error:
        raise PhotoError(f"{name} may not be read: change its permissions or copy it.") from error
    except (OSError, ValueError) as error:
        raise PhotoError(f"{name} cannot be read: check the path and the disk.") from error


def _format(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    return None


@contextmanager
def _opened(source: str | Path | bytes, name: str | None = None) -> Iterator[ImageFile]:
    """Open a photo once its kind and size are known, and turn what goes wrong into a sentence."""
    told = ("The upload" if isinstance(source, bytes) else source) if name is None else name
    name = shown_name(told)
    data = source if isinstance(source, bytes) else _read_file(Path(source), name)
    if not data:
        raise PhotoError(f"{name} is empty: copy or download it again.")
    if len(data) > MAX_BYTES:
        raise PhotoError(f"{name} is larger than {MAX_BYTES / 2**20:.0f} MB: save a smaller copy.")
    kind = _format(data)
    if kind is None:
        raise PhotoError(
            f"{name} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image: "
            "save the photo in one of these formats."
        )
    try:
        with _quiet(data, kind), _READERS[kind](io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                raise PhotoError(
                    f"{name} has {width} x {height} pixels, and at most {MAX_PIXELS / 1e6:.0f} "
                    f"million and {MAX_SIDE} a side are read: save a smaller copy."
                )
            yield image
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError(f"{name} does not fit into memory: save a smaller copy.") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name} has far too many pixels: save a smaller copy.") from error
    except Exception as error:
        # A damaged file makes Pillow raise nearly anything, from SyntaxError to struct.error.
        raise PhotoError(
            f"{name} is a {kind} file that is damaged, cut short or of a rare kind: "
            "copy it again, or save it anew from a photo editor."
        ) from error


@contextmanager
def _quiet(data: bytes, kind: str) -> Iterator[None]:
    """Keep Pillow's warnings about animations in, for the few files that can raise them.

    Warnings can be silenced only for the whole process, hence the lock, the filter for Pillow
    alone, and nothing of it for other photos.
    """
    if kind != "GIF" and not (kind == "PNG" and b"acTL" in data):
        yield
        return
    with _WARNINGS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        gray[gray == image.info.get("transparency", -1)] = 65535
        return Image.fromarray(((gray + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _orientation(exif: bytes) -> int:
    """Read EXIF tag 274 from the first directory, or 1 where there is none or it is corrupt.

    Pillow's own EXIF reader is not used because it warns about what it cannot read.

    References
    ----------
    CIPA DC-008, Exchangeable image file format for digital still cameras, section 4.6.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if (tag, kind, count) == (274, 3, 1):
                return int(value)
    except struct.error:
        pass
    return 1
