"""A small folder of drawn photos without labels, as a stand-in for your own photos."""

from pathlib import Path

from caltech_lab.datasets import drawn
from caltech_lab.settings import settings
from caltech_lab.storage.files import write_atomically

THINGS = ("butterfly", "lotus", "pizza", "schooner", "stop_sign", "sunflower", "umbrella", "watch")
NUMBERS = range(1, 9)
COPIED = ("butterfly 1", "lotus 2", "pizza 3", "schooner 4", "watch 5")


def entries() -> dict[str, str]:
    """Return the name of each photo in the folder and its entry in the archive."""
    photos = {f"{t} {n}.jpg": f"drawn/{t}/image_{n:04d}.jpg" for t in THINGS for n in NUMBERS}
    return photos | {f"{name}, a copy.jpg": f"copies/{name}.jpg" for name in COPIED}


def sample_folder(folder: Path | None = None) -> Path:
    """Unpack 64 photos into a folder, and JPEG copies of five of them in lower quality.

    Parameters
    ----------
    folder : Path, optional
        The target folder, `outputs/own_photos_sample` by default; existing photos are left as they
        are.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DatasetError
        When the archive of the sample is damaged.
    """
    folder = folder or settings().outputs / "own_photos_sample"
    with drawn.opened() as archive:
        for name, entry in entries().items():
            path = folder / name
            if not path.is_file():
                with write_atomically(path) as temporary:
                    temporary.write_bytes(archive.read(entry))
    return folder
