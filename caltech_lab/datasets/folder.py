"""Anybody's own folder of folders as `Photos`."""

import os
from pathlib import Path

import pandas as pd

from caltech_lab.datasets.photos import Photos
from caltech_lab.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})


def scan(root: Path) -> Photos:
    """List the photos below a folder; the first folder below `root` names the category.

    Links to folders are not followed, and hidden files and folders are passed over.

    Parameters
    ----------
    root : Path
        A folder with one sub-folder a category, each with photos at any depth.

    Returns
    -------
    Photos
        Sorted by category and path, named after the folder.

    Raises
    ------
    DatasetError
        When the folder is missing, or holds no photos in sub-folders.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}: check the path.")
    paths = []
    for place, folders, files in os.walk(root):
        # Changing the list in place is how os.walk is told where not to go.
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [
            Path(place, name).relative_to(root)
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    rows = sorted(
        ((path.parts[0], path.as_posix()) for path in paths if len(path.parts) > 1),
        key=lambda row: (row[0].lower(), row),
    )
    if not rows:
        raise DatasetError(
            f"No photos were found in the sub-folders of {root}: it takes one sub-folder a "
            f"category, with files ending in {', '.join(sorted(SUFFIXES))}."
        )
    table = pd.DataFrame(rows, columns=["category", "path"])[["path", "category"]]
    note = f"{len(table):,} photos in {table['category'].nunique()} folders of {root.name}"
    return Photos(root.name, root, table, note)
