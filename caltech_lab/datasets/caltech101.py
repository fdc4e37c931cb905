"""Caltech-101: find it, download it, check each photo against the manifest, and repair it.

The manifest, `caltech101.csv`, lists the 9,144 photos of the official archive with the size and
sha256 of each, so that everyone works with the same bytes.

References: F.-F. Li, M. Andreetto, M. Ranzato and P. Perona, "Caltech 101", CaltechDATA, 2022,
https://doi.org/10.22002/D1.20086, CC BY 4.0.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from caltech_lab.datasets.archives import Archive, explained
from caltech_lab.datasets.photos import Photos, hash_files
from caltech_lab.errors import DatasetError
from caltech_lab.storage.files import lock, write_atomically
from caltech_lab.storage.progress import progress

FOLDER = "101_ObjectCategories"
BACKGROUND = "BACKGROUND_Google"
STRAY = f"{BACKGROUND}/tmp"  # in the official archive, but not a photo
OFFICIAL = Archive(
    dataset="Caltech-101",
    url="https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
    md5="3138e1922a9193bfa496528edbbc45d0",
    name="caltech-101.zip",
    size=138_000_000,  # slightly more than the actual size
    folder=FOLDER,
    max_members=20_000,
    max_bytes=500_000_000,
)

SUBSETS = {
    "all": "the 8,677 photos of the 101 categories",
    "all+background": "all 9,144 photos, with those of BACKGROUND_Google",
    "report51": "the 5,163 photos of the first 51 folders in alphabetical order",
}


# -- The manifest and its subsets


def manifest() -> pd.DataFrame:
    """Return the list of all photos in Caltech-101.

    Returns
    -------
    DataFrame
        9,144 rows sorted by path: `path` (relative to `101_ObjectCategories`, with `/`),
        `bytes` (int64) and `sha256` (64 hexadecimal digits).
    """
    return _read_manifest().copy()


@cache
def _read_manifest() -> pd.DataFrame:
    with (files("caltech_lab.datasets") / "caltech101.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def select(subset: str) -> pd.DataFrame:
    """Return the rows of the manifest that belong to a subset.

    Parameters
    ----------
    subset : str
        A name from `SUBSETS`.

    Returns
    -------
    DataFrame
        `path`, `category`, `bytes` and `sha256`, indexed 0 to n-1, sorted by path.

    Raises
    ------
    DatasetError
        When the subset does not exist.

    Examples
    --------
    >>> len(select("report51"))
    5163
    """
    if subset not in SUBSETS:
        raise DatasetError(f"Caltech-101 has no subset {subset!r}: choose from {list(SUBSETS)}.")
    table = manifest()
    table.insert(1, "category", table["path"].str.partition("/")[0])
    if subset == "all":
        table = table[table["category"] != BACKGROUND]
    elif subset == "report51":
        table = table[table["category"].isin(_categories()[:51])]
    return table.reset_index(drop=True)


def _categories() -> list[str]:
    folders = {path.partition("/")[0] for path in manifest()["path"]}
    return sorted(folders, key=lambda name: (name.lower(), name))


# -- Finding and checking the photos on this machine


def find(places: Sequence[Path]) -> Path | None:
    """Find the folder `101_ObjectCategories`.

    A folder is accepted if it contains at least half of the category folders. Use `verify` to
    check the photos themselves.

    Parameters
    ----------
    places : sequence of Path
        Folders to search, in this order; each may be the folder itself, or contain it as unpacked
        manually, by `download`, or by torchvision.

    Returns
    -------
    Path or None
        The first folder found; None if there is none.
    """
    names = (".", FOLDER, f"caltech-101/{FOLDER}", f"caltech101/{FOLDER}")
    candidates = (Path(place) / name for place in places for name in names)
    return next(filter(_holds_categories, candidates), None)


def _holds_categories(folder: Path) -> bool:
    try:
        there = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    except OSError:
        return False
    expected = _categories()
    return 2 * len(there.intersection(expected)) >= len(expected)


@dataclass(frozen=True)
class Verification:
    """Result of checking the photos against the manifest.

    Attributes
    ----------
    root : Path
        The checked folder.
    missing, altered, extra : list of str
        Missing photos, photos that cannot be read or whose bytes differ from the manifest, and
        files that are not in the manifest; sorted paths relative to `root`.
    sha256 : dict of str to str
        The actual sha256 of each photo in the manifest that could be read.
    """

    root: Path
    missing: list[str]
    altered: list[str]
    extra: list[str]
    sha256: dict[str, str] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether all photos are present and unaltered; extra files are allowed."""
        return not self.missing and not self.altered

    def __str__(self) -> str:
        found = {"missing": self.missing, "altered": self.altered, "extra": self.extra}
        parts = [f"{len(paths):,} {what} ({_few(paths)})" for what, paths in found.items() if paths]
        if self.ok:
            parts.insert(0, f"all {len(self.sha256):,} present and unaltered")
            return f"Photos of Caltech-101: {', '.join(parts)}."
        return (
            f"Photos of Caltech-101: {', '.join(parts)}; "
            "`caltech_lab.datasets.caltech101.repair(lab.photos.root)` restores them."
        )


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "")


def verify(root: Path, subset: str = "all+background") -> Verification:
    """Compare each photo's bytes with the manifest.

    Parameters
    ----------
    root : Path
        The folder `101_ObjectCategories`.
    subset : str
        Name of the photos to check, from `SUBSETS`.

    Returns
    -------
    Verification
        Missing, altered and extra files; `str()` returns a sentence.

    Raises
    ------
    DatasetError
        When the folder or subset does not exist.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}: check the path, or download the photos.")
    expected = select(subset)
    digests = hash_files([root / path for path in expected["path"]])
    sha256, missing, altered = {}, [], []
    for path, right, digest in zip(expected["path"], expected["sha256"], digests, strict=True):
        if digest:
            sha256[path] = digest
        elif not os.path.lexists(root / path):
            missing.append(path)
            continue
        if digest != right:
            altered.append(path)
    there: set[str] = set()
    for folder, _, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        there.update((inside / name).as_posix() for name in names)
    extra = sorted(there.difference(manifest()["path"], [STRAY]))
    return Verification(root, missing, altered, extra, sha256)


def open_subset(root: Path, subset: str, origin: str) -> Photos:
    """Open a subset of the photos, after checking them against the manifest.

    Missing photos are left out and altered ones are used as they are; `origin` reports both.

    Parameters
    ----------
    root : Path
        The folder `101_ObjectCategories`.
    subset : str
        A name from `SUBSETS`.
    origin : str
        One sentence on where the folder comes from.

    Returns
    -------
    Photos
        The photos, with the actual sha256 of each file.

    Raises
    ------
    DatasetError
        When the folder or subset does not exist, or none of its photos can be read.
    """
    found = verify(root, subset)
    if not found.sha256:
        raise DatasetError(
            "None of the photos of Caltech-101 can be read: "
            f"caltech_lab.datasets.caltech101.repair({str(root)!r}) restores them."
        )
    table = select(subset)[["path", "category"]]
    table = table[table["path"].isin(found.sha256.keys())].reset_index(drop=True)
    table["sha256"] = table["path"].map(found.sha256)
    if not found.ok:
        origin = f"{origin.rstrip('.')}. {found}"
    return Photos(subset, Path(root), table, origin)


# -- Downloading the official archive


def download(data: Path) -> Path:
    """Download and unpack the official archive of Caltech-101.

    An interrupted download is resumed. The archive is kept as `data/caltech-101.zip` so that
    `repair` works offline; an archive that you put there yourself is used if its md5 is correct.

    Parameters
    ----------
    data : Path
        The target folder, with 300 MB of free space.

    Returns
    -------
    Path
        `data/caltech-101/101_ObjectCategories`, which appears only once it is complete. If it
        exists already, nothing is downloaded.

    Raises
    ------
    DatasetError
        When the server cannot be reached, the archive is not the expected one, or the disk is
        full or not writable.
    """
    data = Path(data)
    goal = data / "caltech-101" / FOLDER
    if _holds_categories(goal):
        return goal
    with explained(data), lock(goal):
        if _holds_categories(goal):  # made by another process while this one waited
            return goal
        if goal.exists() and any(goal.iterdir()):
            raise DatasetError(
                f"{goal} holds something else than Caltech-101: move it away and call again."
            )
        unpacked = int((manifest()["bytes"] // 4096 + 1).sum()) * 4096
        archive = OFFICIAL.fetch(data, besides=unpacked)
        OFFICIAL.unpack(archive, goal, files=len(manifest()))
    return goal


def repair(root: Path, archive: Path | None = None) -> list[str]:
    """Restore the missing and altered photos, and no others.

    An altered file is not deleted, but moved to the folder `replaced` beside `root`. Extra files
    are left as they are.

    Parameters
    ----------
    root : Path
        The folder `101_ObjectCategories`.
    archive : Path, optional
        The official archive. By default `caltech-101.zip` one or two folders above `root`,
        where `download` keeps it; if it is not there, it is downloaded beside `root`.

    Returns
    -------
    list of str
        Paths of the restored photos, relative to `root`.

    Raises
    ------
    DatasetError
        When `root` is not writable, or the archive is not available or lacks a photo.
    """
    root = Path(root).resolve()
    found = verify(root)
    wanted = set(found.missing + found.altered)
    if not wanted:
        return []
    expected = manifest().set_index("path")["sha256"]
    restored = []
    with explained(root):
        tempfile.TemporaryFile(dir=root).close()  # fails before a long download, not after it
        if archive is None:
            kept = (folder / OFFICIAL.name for folder in (root.parent, root.parent.parent))
            archive = next(filter(Path.exists, kept), None) or OFFICIAL.fetch(root.parent)
        with progress(desc="Restoring", total=len(wanted)) as bar:
            for path, photo in OFFICIAL.read(archive, wanted):
                if hashlib.sha256(photo).hexdigest() == expected[path]:
                    _replace(root, path, photo)
                    restored.append(path)
                    bar.update()
    if absent := wanted.difference(restored):
        raise DatasetError(
            f"{archive} lacks a true copy of {len(absent):,} photos ({_few(sorted(absent))}): "
            "delete it and call again."
        )
    return sorted(restored)


def _replace(root: Path, path: str, photo: bytes) -> None:
    with write_atomically(root / path) as temporary:
        temporary.write_bytes(photo)
        if os.path.lexists(root / path):
            kept = root.parent / "replaced" / path
            number = 1
            while os.path.lexists(kept):
                number += 1
                kept = (root.parent / "replaced" / path).with_stem(f"{Path(path).stem}-{number}")
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / path, kept)
