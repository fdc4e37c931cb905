"""Decoding of all photos: a file or bytes in, an upright RGB image out.

Photos are untrusted input. The format of a file is determined by its first bytes and never by its
name, its size is checked before any pixel is decoded, and every failure raises a `PhotoError`. All
functions are thread-safe.
"""

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from caltech_lab.datasets.formats import FORMATS_LISTED, format_of
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.pillow_readers import (
    MAX_BYTES,
    METADATA_OF_PNG,
    UPRIGHT,
    TooLargeError,
    drafted,
    opened,
    orientation,
    share,
    to_rgb,
)
from caltech_lab.errors import ArgumentError, PhotoError, shown_name
from caltech_lab.storage.progress import progress
from caltech_lab.storage.threads import map_ahead

T = TypeVar("T")
Fit = Literal["squash", "crop", "cover"]

SMALL = 2**21


def read_photo(source: str | Path | bytes, name: str | None = None) -> Image.Image:
    """Decode a photo to an upright RGB image.

    The orientation is applied as in `PIL.ImageOps.exif_transpose`. Transparency is replaced by a
    white background. 16-bit gray is scaled to 8 bits, and 32-bit gray is stretched to the range of
    its values. Only the first frame of an animation and the first page of a TIFF are read. Color
    profiles are ignored, as is usual when networks are trained. A JPEG larger than `MAX_PIXELS` or
    `MAX_SIDE` is decoded at a half or a quarter of its sides.

    Parameters
    ----------
    source : str, Path or bytes
        A file, or the content of one, such as an upload.
    name : str, optional
        Name of the photo in error messages; its path by default.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, 8 bits per channel, without metadata or an open file.

    Raises
    ------
    PhotoError
        When the file cannot be read, is not in one of the `formats.FORMATS`, is damaged or
        truncated, or exceeds `MAX_BYTES`, `MAX_PIXELS` or `MAX_SIDE`. A JPEG may have up to
        `MAX_JPEG_PIXELS`, or `MAX_SCANS_PIXELS` if it is progressive.
    """
    with _upright(source, name) as photo:
        return photo.copy() if isinstance(photo, ImageFile) else photo


class Head(NamedTuple):
    """The header of a photo's file: width and height of the upright photo, and the mode."""

    width: int
    height: int
    mode: str


def read_head(source: str | Path | bytes) -> Head:
    """Read the header of a photo's file, with the same checks as `read_photo`.

    Parameters
    ----------
    source : str, Path or bytes
        A file, or the content of one.

    Returns
    -------
    Head
        Width and height of the upright photo in pixels, before any reduction, and Pillow's mode,
        such as "RGB", or "L" for gray.

    Raises
    ------
    PhotoError
        As in `read_photo`, except for damage after the header, which is not detected.
    """
    data, kind, name = _known(source, None)
    with _told(name, kind):
        image = opened(data, kind)
        (width, height), mode = image.size, image.mode
        needed = drafted(image)
        pixels = data.find(b"IDAT") if kind == "PNG" else len(data)
        if any(data.find(entry, pixels) > 0 for entry in METADATA_OF_PNG):
            with share(needed), suppress(Exception):
                image.load()
        turned = orientation(image) in (5, 6, 7, 8)
        return Head(height, width, mode) if turned else Head(width, height, mode)


def readable(
    photos: Photos, work: Callable[[Path], T], rows: Iterable[int] | None = None
) -> tuple[NDArray[np.int64], list[T]]:
    """Apply a function to each photo, and leave out the photos that cannot be read.

    Photos are processed in parallel, with a progress bar. If photos are left out, one line gives
    their number and the first of them.

    Parameters
    ----------
    photos : Photos
        Where the files are.
    work : callable
        Takes the path of a photo, such as `read_photo`; if it raises a `PhotoError`, the photo is
        left out.
    rows : iterable of int, optional
        Rows of the photos to process; all by default.

    Returns
    -------
    rows : ndarray of int64, shape (m,)
        Rows of the photos that could be read, in the requested order.
    results : list
        The result of `work` for each of these.

    Raises
    ------
    PhotoError
        When none of the photos can be read.
    """
    asked = list(range(len(photos)) if rows is None else rows)

    def attempt(i: int) -> T | PhotoError:
        try:
            return work(photos.file(i))
        except PhotoError as error:
            return error

    outcomes = list(progress(map_ahead(attempt, asked), total=len(asked), desc="Decoding"))
    failed = [outcome for outcome in outcomes if isinstance(outcome, PhotoError)]
    if failed and len(failed) == len(asked):
        raise PhotoError(f"None of the {len(asked):,} photos can be read; the first: {failed[0]}")
    if failed:
        count = f"{len(failed):,} of {len(asked):,} photos"
        print(f"{count} cannot be read and are left out; the first: {failed[0]}")
    kept = [(i, a) for i, a in zip(asked, outcomes, strict=True) if not isinstance(a, PhotoError)]
    return np.array([i for i, _ in kept], dtype=np.int64), [outcome for _, outcome in kept]


def load_pixels(
    source: str | Path | bytes | Image.Image,
    size: int,
    fit: Fit,
    name: str | None = None,
) -> NDArray[np.uint8]:
    """Decode a photo and resize it to the square input of a network.

    The photo is resampled once, with a triangle filter that widens with the reduction (bilinear
    with antialiasing). PyTorch needs a third of Pillow's time; rounding makes the results differ
    by at most two of 255 levels. Pillow is used for crops, because PyTorch does not support boxes
    with fractional pixels, and for photos of more than `SMALL` pixels, for which the extra copy
    would cost more than it saves.

    Parameters
    ----------
    source : str, Path, bytes or PIL.Image.Image
        A file, the content of one, or an image from `read_photo`.
    size : int
        Side of the square, in pixels.
    fit : {"squash", "crop", "cover"}
        "squash" uses the whole photo and changes its aspect ratio. The others keep the aspect
        ratio: the photo is scaled until its shorter side is ``round(size * 256 / 224)`` for "crop"
        and `size` for "cover", then the center is cropped.
    name : str, optional
        As in `read_photo`.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        RGB, 0 to 255.

    Raises
    ------
    PhotoError
        As in `read_photo`.
    ArgumentError
        When `fit` is none of the three.
    """
    if fit not in get_args(Fit):
        raise ArgumentError(f"There is no fit {fit!r}: choose one of {', '.join(get_args(Fit))}.")
    if isinstance(source, Image.Image):
        return _square(source, size, fit)
    with _upright(source, name) as photo:
        return _square(photo, size, fit)


def _square(photo: Image.Image, size: int, fit: Fit) -> NDArray[np.uint8]:
    if fit == "squash" and photo.width * photo.height <= SMALL:
        return _squashed(np.array(photo), size)  # a writable copy, as PyTorch requires
    box = None if fit == "squash" else _center(photo.width, photo.height, size, fit)
    return np.array(photo.resize((size, size), Image.Resampling.BILINEAR, box))


def _squashed(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    import torch  # takes a second to import, and is not needed to show photos

    # A channels-first view of channels-last memory, with the stride that a larger batch would
    # have: PyTorch has a fast path for this, and returns the result in the same memory order.
    batch = torch.from_numpy(pixels.reshape(1, *pixels.shape)).permute(0, 3, 1, 2)
    squashed = torch.nn.functional.interpolate(batch, (size, size), mode="bilinear", antialias=True)
    square: NDArray[np.uint8] = squashed.permute(0, 2, 3, 1)[0].contiguous().numpy()
    return square


def part_seen(width: int, height: int, size: int, fit: Fit) -> tuple[float, float, float, float]:
    """Return the part of a photo that a network sees after `load_pixels`.

    Parameters
    ----------
    width, height : int
        Size of the photo, in pixels.
    size, fit
        As in `load_pixels`.

    Returns
    -------
    tuple of float
        Left, top, right and bottom, as fractions of width and height.
    """
    if fit == "squash":
        return 0.0, 0.0, 1.0, 1.0
    left, top, right, bottom = _center(width, height, size, fit)
    return left / width, top / height, right / width, bottom / height


def _center(width: int, height: int, size: int, fit: Fit) -> tuple[float, float, float, float]:
    """Return the box of the center crop, in pixels of the original photo.

    Resampling this box is the same as scaling and then cropping, but skips the margins.
    """
    shorter = size if fit == "cover" else round(size * 256 / 224)
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


def _known(source: str | Path | bytes, name: str | None) -> tuple[bytes, str, str]:
    """Return the bytes of a photo's file, its format, and its name in messages."""
    told = ("The upload" if isinstance(source, bytes) else source) if name is None else name
    name = shown_name(told)
    data = source if isinstance(source, bytes) else _read_file(Path(source), name)
    if not data:
        raise PhotoError(f"{name} is empty: copy or download it again.")
    if len(data) > MAX_BYTES:
        raise PhotoError(f"{name} is larger than {MAX_BYTES / 2**20:.0f} MB: save a smaller copy.")
    kind = format_of(data)
    if kind is None:
        raise PhotoError(
            f"{name} is not a {FORMATS_LISTED} image: save the photo in one of these formats."
        )
    return data, kind, name


@contextmanager
def _upright(source: str | Path | bytes, name: str | None) -> Iterator[Image.Image]:
    """Decode a photo, and reserve memory for it while it is used.

    The image may be Pillow's file object with its buffers, so callers should keep only a copy.
    """
    data, kind, name = _known(source, name)
    with _told(name, kind):
        image = opened(data, kind)
        needed = drafted(image)
    with share(needed):
        with _told(name, kind):
            image.load()
            turn = UPRIGHT.get(orientation(image))
            photo = to_rgb(image)
            if turn is not None:
                photo = photo.transpose(turn)
        del image
        # The metadata describe the file, and no longer these pixels.
        photo.info = {}
        yield photo


@contextmanager
def _told(name: str, kind: str) -> Iterator[None]:
    """Turn any error in decoding a photo into a `PhotoError`."""
    try:
        yield
    except TooLargeError as error:
        raise PhotoError(f"{name} has {error}: save a smaller copy.") from error
    except MemoryError as error:
        raise PhotoError(f"{name} does not fit into memory: save a smaller copy.") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name} has far too many pixels: save a smaller copy.") from error
    except Exception as error:
        # For a damaged file, Pillow raises almost any exception, from SyntaxError to struct.error.
        article = "an" if kind == "AVIF" else "a"
        raise PhotoError(
            f"{name} is {article} {kind} file that is damaged, cut short or of a rare kind: "
            "copy it again, or save it anew from a photo editor."
        ) from error
