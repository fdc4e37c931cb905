"""Draws the pictures of the sample, encodes them as JPEG and writes the ZIP archive."""

import io
import zipfile
from pathlib import Path

from PIL import Image

from caltech_lab.datasets import unlabeled_sample
from caltech_lab.datasets.drawn import CATEGORIES, PHOTOS_PER_CATEGORY
from caltech_lab.storage.files import write_atomically
from tools.sample_painter.painter import draw


def encode(photo: Image.Image, quality: int) -> bytes:
    """Return a photo as a JPEG file."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def paint() -> dict[str, bytes]:
    """Draw all pictures, and encode copies of some of them at a lower quality.

    Returns
    -------
    dict of str to bytes
        JPEG files, by name in the archive.
    """
    files = {
        f"drawn/{category}/image_{number:04d}.jpg": encode(draw(category, number), 90)
        for category in CATEGORIES
        for number in range(1, PHOTOS_PER_CATEGORY + 1)
    }
    entries = unlabeled_sample.entries()
    for name in unlabeled_sample.COPIED:
        with Image.open(io.BytesIO(files[entries[f"{name}.jpg"]])) as photo:
            files[entries[f"{name}, a copy.jpg"]] = encode(photo, 50)
    return files


def write(path: Path, files: dict[str, bytes]) -> None:
    """Write a reproducible ZIP archive."""
    with write_atomically(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # dated 1980-01-01; uncompressed, because JPEG is
            entry.create_system = 3  # Unix, also when it is written on Windows
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
