"""Caltech-101: find it, download it, check each photo against the manifest, repair it.

The manifest, `caltech101.csv`, lists the 9,144 photos of the official archive with the size and
the sha256 of each, so that everyone who opens the dataset works on the same bytes.

References
----------
F.-F. Li, M. Andreetto, M. Ranzato and P. Perona, "Caltech 101", CaltechDATA, 2022,
https://doi.org/10.22002/D1.20086, CC BY 4.0.
"""

import errno
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path, PureWindowsPath
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

import pandas as pd

from caltech_lab.datasets.photos import Photos, hash_files
from caltech_lab.errors import CacheError, DatasetError
from caltech_lab.files import flush_folder, lock, write_atomically
from caltech_lab.progress import progress

URL = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
MD5 = "3138e1922a9193bfa496528edbbc45d0"
ARCHIVE = "caltech-101.zip"
ARCHIVE_BYTES = 138_000_000  # a little more than the official archive
INNER_ARCHIVE = "101_ObjectCategories.tar.gz"
FOLDER = "101_ObjectCategories"
BACKGROUND = "BACKGROUND_Google"
STRAY = f"{BACKGROUND}/tmp"  # lies in the official archive, and is no photo

SUBSETS = {
    "all": "the 8,677 photos of the 101 categories",
    "all+background": "all 9,144 photos, with those of BACKGROUND_Google",
    "report51": "the 5,163 photos of the first 51 folders, alphabetical whatever their case",
}

TIMEOUT = 10  # seconds to connect, and between two pieces of a download
ATTEMPTS = 5  # how often a download that breaks off is taken up again in one call
# No archive of this dataset needs more than this; a bomb would.
MAX_MEMBERS = 20_000
MAX_BYTES = 500_000_000


# -- The manifest and its subsets


def manifest() -> pd.DataFrame:
    """Return the list of the photos that make up Caltech-101.

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
        When there is no such subset.

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
    """Look for the folder `101_ObjectCategories`.

    A folder is taken for it when at least half of the categories' folders are there. Whether
    the photos in them are whole is for `verify` to say.

    Parameters
    ----------
    places : sequence of Path
        Folders to look in, in this order; each may be the photos' folder itself, or hold it
        as unpacked by hand, by `download`, or by torchvision.

    Returns
    -------
    Path or None
        The first folder found.
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
    """What a check of the photos against the manifest found.

    Attributes
    ----------
    root : Path
        The folder that was checked.
    missing, altered, extra : list of str
        Photos that are not there, photos whose bytes are not those of the manifest or cannot
        be read, and files that the manifest does not know; sorted paths relative to `root`.
    sha256 : dict of str to str
        The true sha256 of each photo of the manifest that could be read.
    """

    root: Path
    missing: list[str]
    altered: list[str]
    extra: list[str]
    sha256: dict[str, str] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether each photo is there, byte for byte; extra files do no harm."""
        return not self.missing and not self.altered

    def __str__(self) -> str:
        found = {"missing": self.missing, "altered": self.altered, "extra": self.extra}
        parts = [f"{len(paths):,} {what} ({_few(paths)})" for what, paths in found.items() if paths]
        if self.ok:
            parts.insert(0, f"all {len(self.sha256):,} there and unaltered")
            return f"Photos of Caltech-101: {', '.join(parts)}."
        return (
            f"Photos of Caltech-101: {', '.join(parts)}; to restore them, call "
            f"caltech_lab.datasets.caltech101.repair({str(self.root)!r})."
        )


def _few(paths: Sequence[str], shown: int = 3) -> str:
    return ", ".join(paths[:shown]) + (", …" if len(paths) > shown else "")


def verify(root: Path, subset: str = "all+background") -> Verification:
    """Compare each photo's bytes with the manifest.

    Parameters
    ----------
    root : Path
        The folder `101_ObjectCategories`.
    subset : str
        The photos to check, a name from `SUBSETS`.

    Returns
    -------
    Verification
        Paths missing, altered and extra; `str()` of it is a sentence.

    Raises
    ------
    DatasetError
        When there is no such folder or subset.
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
    there = {
        Path(folder, name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root)
        for name in names
    }
    extra = sorted(there.difference(manifest()["path"], [STRAY]))
    return Verification(root, missing, altered, extra, sha256)


def open_subset(root: Path, subset: str, origin: str) -> Photos:
    """Open a subset of the photos, after checking them against the manifest.

    Missing photos are left out and altered ones are taken as they are; in both cases `origin`
    says so.

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
        With the true sha256 of each file.

    Raises
    ------
    DatasetError
        When there is no such folder or subset, or none of its photos can be read.
    """
    found = verify(root, subset)
    if not found.sha256:
        raise DatasetError(f"None of the photos of Caltech-101 can be read in {root}: {found}")
    table = select(subset)[["path", "category"]]
    table = table[table["path"].isin(found.sha256.keys())].reset_index(drop=True)
    table["sha256"] = table["path"].map(found.sha256)
    if not found.ok:
        origin = f"{origin.rstrip('.')}. {found}"
    return Photos(subset, Path(root), table, origin)


# -- Downloading the official archive


def download(data: Path, url: str = URL, md5: str = MD5) -> Path:
    """Download and unpack the official archive of Caltech-101.

    A download that broke off is taken up where it stopped. The archive is kept as
    `data/caltech-101.zip` so that `repair` works without the network; an archive put there by
    hand is used as it is when its md5 is right.

    Parameters
    ----------
    data : Path
        The folder to put it in; 300 MB are needed.
    url : str
        The archive's https address.
    md5 : str
        The archive's md5, 32 hexadecimal digits.

    Returns
    -------
    Path
        `data/caltech-101/101_ObjectCategories`, there only once it is whole. When it is there
        already, nothing is downloaded.

    Raises
    ------
    DatasetError
        When the server cannot be reached, the archive is not the expected one, or the disk is
        full or cannot be written.
    """
    data = Path(data)
    goal = data / "caltech-101" / FOLDER
    if _holds_categories(goal):
        return goal
    with _explained(data), lock(goal):
        if _holds_categories(goal):  # made by another process while this one waited
            return goal
        if goal.exists() and any(goal.iterdir()):
            raise DatasetError(
                f"{goal} holds something else than Caltech-101: move it away and call again."
            )
        unpacked = int((manifest()["bytes"] // 4096 + 1).sum()) * 4096
        archive = _checked_archive(data, url, md5, unpacked)
        _require_space(data, unpacked)
        _unpack(archive, goal)
    return goal


def _checked_archive(data: Path, url: str = URL, md5: str = MD5, besides: int = 0) -> Path:
    """Return the archive in `data`, fetched if it is not there and `besides` bytes fit too."""
    archive = data / ARCHIVE
    with lock(archive):
        if not archive.exists():
            _require_space(data, ARCHIVE_BYTES - _size(_part_of(archive)) + besides)
            _fetch(url, archive, md5)
        elif _md5_of(archive) != md5:
            raise DatasetError(f"{archive} is not the official archive: delete it and call again.")
    return archive


def _fetch(url: str, archive: Path, md5: str, schemes: tuple[str, ...] = ("https",)) -> None:
    """Bring the file at `url` to `archive`, by way of a `.part` that is taken up again."""
    part = _part_of(archive)
    opener = build_opener(_Redirects(schemes))
    _require_scheme(url, schemes)
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before and _md5_of(part) == md5:
            break
        if _receive(opener, url, part):
            break
        if _size(part) == before:
            raise DatasetError(
                f"The download of {archive.name} stalled at {before / 1e6:.0f} MB: "
                "call again to go on from there."
            )
    else:
        raise DatasetError(
            f"The download of {archive.name} broke off {ATTEMPTS} times, the last time at "
            f"{_size(part) / 1e6:.0f} MB: call again to go on from there."
        )
    if _md5_of(part) != md5:
        part.unlink()
        raise DatasetError(
            f"What came from {url} is not the official archive (its md5 differs) and was deleted: "
            "call again to download it anew."
        )
    os.replace(part, archive)
    flush_folder(archive.parent)


def _receive(opener: OpenerDirector, url: str, part: Path) -> bool:
    """Append to `part` what is still to come; False when the connection broke off."""
    have = _size(part)
    headers = {"User-Agent": "caltech-lab"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = opener.open(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and have:  # longer than the archive, or as long and wrong
            part.unlink()
            return False
        raise DatasetError(
            f"{url} answered {error.code} {error.reason}: try again later, or put {ARCHIVE} into "
            f"{part.parent} by hand."
        ) from error
    except (OSError, HTTPException) as error:
        raise DatasetError(
            f"{urlsplit(url).netloc} cannot be reached ({getattr(error, 'reason', error)}): "
            f"check the network and call again, or put {ARCHIVE} into {part.parent} by hand."
        ) from error
    with response:
        if response.status == 206 and not _starts_at(response.headers["Content-Range"], have):
            part.unlink(missing_ok=True)
            return False
        if response.status != 206:
            have = 0
        length = response.headers["Content-Length"]
        total = have + int(length) if length else None
        with (
            open(part, "ab" if have else "wb") as file,
            progress(desc=ARCHIVE, total=total, initial=have, unit="B", unit_scale=True) as bar,
        ):
            while block := _read(response):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
            return block is not None and total in (None, file.tell())


def _read(response: IO[bytes]) -> bytes | None:
    # Only faults of the network end here: those of the disk have another sentence.
    try:
        return response.read(1 << 16)
    except (OSError, HTTPException):
        return None


def _starts_at(content_range: str | None, start: int) -> bool:
    return (content_range or "").startswith(f"bytes {start}-")


class _Redirects(HTTPRedirectHandler):
    """Follow redirects, but only to the given schemes."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        _require_scheme(newurl, self.schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_scheme(url: str, schemes: tuple[str, ...]) -> None:
    if urlsplit(url).scheme not in schemes:
        raise DatasetError(
            f"{url} is not an {' or '.join(schemes)} address and was not asked: "
            f"put {ARCHIVE} into the data folder by hand."
        )


def _part_of(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5_of(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


# -- Unpacking and repairing


def _unpack(archive: Path, goal: Path) -> None:
    """Unpack the photos beside `goal`, and give them their name only when all are there."""
    aside = goal.with_name(".unpacking")
    shutil.rmtree(aside, ignore_errors=True)  # left by a process that was killed
    aside.mkdir(parents=True)
    try:
        with (
            _tar_of(archive) as tar,
            progress(desc=f"Unpacking {archive.name}", total=len(manifest()), unit=" files") as bar,
        ):
            for member in _safe_members(tar, archive):
                tar.extract(member, aside, filter="data")
                bar.update()
        if not (aside / FOLDER).is_dir():
            raise DatasetError(f"{archive} holds no folder {FOLDER}: delete it and call again.")
        if hasattr(os, "sync"):
            os.sync()  # one call, where an fsync for each of 9,144 photos would take minutes
        if goal.exists():
            goal.rmdir()
        os.replace(aside / FOLDER, goal)
        flush_folder(goal.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _tar_of(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open the tar inside the zip as a stream: it is never written to the disk."""
    try:
        with zipfile.ZipFile(archive) as outer:
            for entry in outer.infolist():
                _refuse_climbing(entry.filename, archive)
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise _unsafe(entry.filename, "is a link", archive)
            inner = [e for e in outer.infolist() if Path(e.filename).name == INNER_ARCHIVE]
            if not inner:
                raise DatasetError(f"{archive} has no {INNER_ARCHIVE}: delete it and call again.")
            with outer.open(inner[0]) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
                yield tar
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise DatasetError(f"{archive} is damaged ({error}): delete it and call again.") from error


def _safe_members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Go through the files and folders of a tar, and stop at anything that could do harm."""
    total = 0
    for number, member in enumerate(tar, start=1):
        _refuse_climbing(member.name, archive)
        if not (member.isreg() or member.isdir()):
            raise _unsafe(member.name, "is a link or a device", archive)
        total += member.size
        if number > MAX_MEMBERS or total > MAX_BYTES:
            raise _unsafe(member.name, "makes it far larger than Caltech-101", archive)
        yield member


def _refuse_climbing(name: str, archive: Path) -> None:
    # Windows' rules know both kinds of slash and drive letters: they refuse what any system would.
    path = PureWindowsPath(name)
    if path.anchor or ".." in path.parts:
        raise _unsafe(name, "leads out of its folder", archive)


def _unsafe(name: str, why: str, archive: Path) -> DatasetError:
    return DatasetError(
        f"{archive} is not safe to unpack, for its entry {name!r} {why}: delete it and call again."
    )


def repair(root: Path, archive: Path | None = None) -> list[str]:
    """Restore the photos that are missing or altered, and no others.

    An altered file is not thrown away: it is moved to the folder `replaced` beside `root`.
    Extra files are left alone.

    Parameters
    ----------
    root : Path
        The folder `101_ObjectCategories`.
    archive : Path, optional
        The official archive. By default `caltech-101.zip` one or two folders above `root`,
        where `download` keeps it; when it is not there, it is downloaded beside `root`.

    Returns
    -------
    list of str
        The photos restored, relative to `root`.

    Raises
    ------
    DatasetError
        When `root` cannot be written, or the archive cannot be had or lacks a photo.
    """
    root = Path(root).resolve()
    found = verify(root)
    wanted = set(found.missing + found.altered)
    if not wanted:
        return []
    expected = manifest().set_index("path")["sha256"]
    restored = []
    with _explained(root):
        tempfile.TemporaryFile(dir=root).close()  # before a long download, not after it
        if archive is None:
            kept = (folder / ARCHIVE for folder in (root.parent, root.parent.parent))
            archive = next((path for path in kept if path.exists()), None)
            archive = archive or _checked_archive(root.parent)
        with _tar_of(archive) as tar, progress(desc="Restoring", total=len(wanted)) as bar:
            for member in _safe_members(tar, archive):
                path = member.name.removeprefix("./").removeprefix(f"{FOLDER}/")
                if path not in wanted or (content := tar.extractfile(member)) is None:
                    continue
                photo = content.read()
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


# -- Faults of the disk, told in a sentence


def _require_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DatasetError(
            f"{folder} has {free / 1e6:.0f} MB of free space and Caltech-101 needs "
            f"{need / 1e6:.0f} MB more: free some, or set CALTECH_LAB_DATA to another disk."
        )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, CacheError) as error:
        # `write_atomically` speaks of outputs; here it is about the photos.
        cause = error.__cause__ if isinstance(error, CacheError) else error
        number = getattr(cause, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            fault = "has no space left: free some"
        elif number in (errno.EACCES, errno.EROFS, errno.EPERM):
            fault = "cannot be written: make it writable"
        else:
            fault = f"cannot be used ({cause}): mend it"
        raise DatasetError(f"{folder} {fault}, or set CALTECH_LAB_DATA elsewhere.") from error
