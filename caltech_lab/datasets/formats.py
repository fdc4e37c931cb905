"""Image formats, recognized by the first bytes of a file, or by its extension where possible."""

import os
from collections.abc import Callable
from typing import Final

FORMATS: Final = ("JPEG", "PNG", "WebP", "BMP", "GIF", "TIFF", "HEIC", "AVIF")
FORMATS_LISTED: Final = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

# Files with these extensions are listed as photos without being opened; one that is not a photo is
# reported when it cannot be decoded.
SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".heic", ".heif", ".hif", ".avif"}
)
# Images, raw files and videos that are not supported. Raw files start like TIFF files, so the
# extension decides.
NOT_READ: Final = frozenset(
    {".jxl", ".jp2", ".psd", ".svg", ".eps", ".xcf", ".ico", ".exr", ".tga"}
    | {".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2"}
    | {".raf", ".pef", ".srw", ".raw", ".3fr", ".iiq", ".x3f", ".gpr"}
    | {".mov", ".mp4", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp", ".mts", ".wmv"}
)
HEAD: Final = 32  # number of bytes that `format_of` needs

_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"}
)


def format_of(head: bytes) -> str | None:
    """Return the format of a photo, from the first `HEAD` bytes of its file.

    Parameters
    ----------
    head : bytes
        The beginning of a file, or the whole file.

    Returns
    -------
    str or None
        One of `FORMATS`; None for anything else.

    Examples
    --------
    >>> format_of(b"GIF89a...")
    'GIF'
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    # Two letters are a weak signature, so the size of the following header is checked too.
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        return "BMP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[4:8] == b"ftyp":
        # The major brand, and the compatible brands after the minor version.
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, len(head) - 3, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    return None


def suffix_of(name: str) -> str:
    """Return the extension of a file name in lower case, such as ".jpg", or "" if there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 a path object takes ten times as long


def is_photo(suffix: str, head: Callable[[], bytes]) -> bool:
    """Return whether a file is a photo, by its extension or else by its first `HEAD` bytes.

    `head` reads them, and is called only for an unknown extension; an `OSError` means no photo.
    """
    if suffix in SUFFIXES or suffix in NOT_READ:
        return suffix in SUFFIXES
    try:
        return format_of(head()) is not None
    except OSError:
        return False
