"""Sources of photos: Caltech-101, a folder of your own, or a small drawn sample."""

from collections.abc import Sequence
from pathlib import Path

from caltech_lab.datasets import caltech101, drawn, folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.errors import ArgumentError, DatasetError
from caltech_lab.settings import settings

__all__ = ["Photos", "open_photos"]


def open_photos(name: str | None = None, exclude: Sequence[str] | None = None) -> Photos:
    """Find the photos of a dataset, downloading or unpacking them if needed.

    Parameters
    ----------
    name : str, optional
        `caltech101` (101 categories), `all+background` (all 102 folders), `report51` (the 51
        folders of the report), `drawn`, or the path of a folder with one sub-folder per category
        or with photos without labels. The default is the dataset in the settings; if there is
        none, Caltech-101, or the drawn sample when Caltech-101 is not available.
    exclude : sequence of str, optional
        Patterns of photos and folders to leave out of your own folder, as in a `.gitignore` file;
        those in the settings by default.

    Returns
    -------
    Photos
        The photos; `origin` says in one sentence where they came from.

    Raises
    ------
    ArgumentError
        When `exclude` is combined with a named dataset, or a pattern is invalid.
    DatasetError
        When the requested photos are not available.
    """
    wanted = name or settings().dataset
    patterns = settings().exclude if exclude is None else exclude
    if patterns and wanted in (None, "caltech101", "drawn", *caltech101.SUBSETS):
        raise ArgumentError(
            f"Patterns such as {patterns[0]!r} exclude photos of a folder of your own: give "
            "the folder as the dataset, or leave them away."
        )
    if wanted == "drawn":
        return _drawn("The drawn sample")
    subset = "all" if wanted in (None, "caltech101") else str(wanted)
    if subset not in caltech101.SUBSETS:
        photos = folder.scan(Path(subset), patterns)
        return folder.with_known_hashes(photos, settings().outputs / photos.name / "photos.parquet")
    try:
        return _caltech101(subset)
    except DatasetError as error:
        if wanted is not None:
            raise
        why = str(error).rstrip(".")
        return _drawn(f"Caltech-101 is not available ({why}), so this is the drawn sample")


def _caltech101(subset: str) -> Photos:
    places = settings().photo_places
    root = caltech101.find(places)
    if root is None:
        root = caltech101.download(settings().data)
        place = "downloaded from CaltechDATA"
    else:
        place = f"found in {_shown(root)}"
    return caltech101.open_subset(
        root, subset, f"Caltech-101, {caltech101.SUBSETS[subset]}, {place}"
    )


def _drawn(why: str) -> Photos:
    root = drawn.unpack(settings().home / "data" / "drawn")
    photos = folder.scan(root)
    found = f"{len(photos):,} pictures in {len(photos.categories)} categories"
    return Photos("drawn", root, photos.table, f"{why}: {found}, drawn by a program")


def _shown(path: Path) -> str:
    """Return a short form of a path, without its machine-specific part."""
    for start, shown in ((settings().home, ""), (settings().home.parent, "../")):
        if path.is_relative_to(start):
            return f"{shown}{path.relative_to(start).as_posix()}/"
    return "$CALTECH_LAB_DATA" if path.is_relative_to(settings().data) else f"{path.name}/"
