"""A small folder of drawn photos without labels, in place of somebody's own."""

from pathlib import Path

from PIL import Image

from caltech_lab.datasets.drawn import draw
from caltech_lab.files import write_atomically

THINGS = ("butterfly", "lotus", "pizza", "schooner", "stop_sign", "sunflower", "umbrella", "watch")
NUMBERS = range(1, 9)
COPIED = ("butterfly 1", "lotus 2", "pizza 3", "schooner 4", "watch 5")


def sample_folder(folder: Path) -> Path:
    """Draw 64 photos into a folder, and five of them again, pressed into a poorer JPEG.

    Parameters
    ----------
    folder : Path
        Where to; photos that are there already are left as they are.

    Returns
    -------
    Path
        The same folder.
    """
    for thing in THINGS:
        for number in NUMBERS:
            path = folder / f"{thing} {number}.jpg"
            if not path.is_file():
                with write_atomically(path) as temporary:
                    draw(thing, number).save(temporary, quality=90)
    for name in COPIED:
        path = folder / f"{name}, a copy.jpg"
        if not path.is_file():
            with (
                write_atomically(path) as temporary,
                Image.open(folder / f"{name}.jpg") as photo,
            ):
                photo.save(temporary, quality=50)
    return folder
