"""Your own photos as `Photos`: one sub-folder per category, or a single folder of photos."""

import hashlib
import os
import re
import time
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd
from pathspec import GitIgnoreSpec

from caltech_lab.datasets.formats import FORMATS_LISTED, HEAD, NOT_READ, is_photo, suffix_of
from caltech_lab.datasets.photos import Photos, hash_files
from caltech_lab.errors import ArgumentError, CacheError, DatasetError, LabError
from caltech_lab.settings import from_home
from caltech_lab.storage.files import make_way, set_aside
from caltech_lab.storage.tables import load_table, save_table

SETTLED = 2.0  # seconds; after a more recent change, another may leave the time stamps the same
KINDS_NAMED: Final = 5  # maximum number of unsupported file types named in a message
SPLITS: Final = frozenset({"train", "val", "valid", "validation", "test"})

# Folders created by file servers, operating systems and other programs: thumbnails, previews,
# trash and old versions. Names that start with a dot are skipped anyway.
NO_PHOTOS: Final = re.compile(
    "|".join(
        [
            r"@eadir|@tmp|@sharebin|#recycle|#snapshot",  # Synology
            r"@__thumb|@recycle|@recently-snapshot|network trash folder",  # QNAP
            r"\$recycle\.bin|recycler|recycled|system volume information|found\.\d{3}",  # Windows
            r"__macosx|lost\+found|~snapshot",  # macOS's archives, Linux, NetApp
            r"files_trashbin|files_versions|appdata_oc\w+",  # Nextcloud
            r".+\.lrdata|.+\.lrcat-data",  # Lightroom
        ]
    )
)
# An Apple photo library is a folder with the originals in `APPLE_PHOTOS` and previews elsewhere.
APPLE_LIBRARY: Final = re.compile(r".+\.(photoslibrary|photolibrary|aplibrary)")
APPLE_PHOTOS: Final = frozenset({"originals", "masters"})


def scan(root: Path, exclude: Sequence[str] = ()) -> Photos:
    """List the photos in a folder; the first-level sub-folders are the categories.

    If all sub-folders are named train, val and the like, they are splits, and the folders in them
    are the categories. If at most one sub-folder contains photos, all photos are listed, without
    categories. A file with an unknown extension is recognized by its first bytes. Hidden files
    and folders are skipped, and so are folders that other programs create. A link is followed
    only if its target is not listed yet, and never to a folder that contains the link.

    Parameters
    ----------
    root : Path
        A folder with one sub-folder per category, each with photos at any depth; or a folder with
        photos only, which then have no categories.
    exclude : sequence of str
        Patterns of photos and folders to leave out, as in a `.gitignore` file.

    Returns
    -------
    Photos
        Sorted by category and path. The name depends on the folder, its location and `exclude`,
        so that two folders of the same name, or two selections from one folder, do not share
        artifacts.

    Raises
    ------
    ArgumentError
        When a pattern is invalid.
    DatasetError
        When the folder is missing or contains no photos.
    """
    root = from_home(root).absolute()
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}: check the path.")
    listed = _Listing(_matcher(exclude))
    listed.walk(root)
    rows, where, beside = categorized(listed.photos, root.name)
    notes = [f"{beside:,} beside the sub-folders left out"] * bool(beside)
    notes += [f"{listed.excluded:,} excluded"] * bool(exclude)
    notes += [f"{listed.unreadable:,} folders could not be opened"] * bool(listed.unreadable)
    notes += [_not_read(listed.not_read)] * bool(listed.not_read)
    if not rows:
        besides = f" ({'; '.join(notes)})" if notes else ""
        raise DatasetError(
            f"No photos were found in {root} or in its sub-folders{besides}: it takes "
            f"{FORMATS_LISTED}, in one sub-folder per category or all in one folder."
        )
    rows.sort(key=lambda row: (row[0].lower(), row))
    table = _table(rows)
    notes = [f"{len(table):,} photos {where}", *notes]
    # Folders of the same name may be different datasets; 60 characters fit any file system.
    place = os.fsencode("\0".join([os.path.realpath(root), *exclude]))
    name = "".join(c if c.isprintable() else "_" for c in root.name[:60]) or "photos"
    name += f"-{hashlib.sha256(place).hexdigest()[:6]}"
    return Photos(name, root, table, "; ".join(notes))


def _table(rows: list[tuple[str, str]]) -> pd.DataFrame:
    columns = ["category", "path"]
    try:
        table = pd.DataFrame(rows, columns=columns)
    except UnicodeEncodeError:  # pandas stores strings as UTF-8 unless the dtype is object
        table = pd.DataFrame(rows, columns=columns, dtype=object)
    return table[["path", "category"]]


def categorized(paths: Iterable[str], of: str) -> tuple[list[tuple[str, str]], str, int]:
    """Derive the categories of photos from their folders.

    Parameters
    ----------
    paths : iterable of str
        Paths relative to the folder of the dataset, with `/`.
    of : str
        Name of that folder.

    Returns
    -------
    rows : list of (str, str)
        Category and path of each photo that is kept; the category is empty if there are none.
    where : str
        The end of a sentence about the photos, such as "in 5 folders of holidays".
    beside : int
        Number of photos left out because they are beside the category folders, not in them.
    """
    paths = [*paths]
    filed = [path for path in paths if "/" in path]
    rows = [(path[: path.index("/")], path) for path in filed]
    folders, splits = sorted({folder for folder, _ in rows}), list[str]()
    if len(folders) > 1 and {name.lower() for name in folders} <= SPLITS:
        inner = [(path.split("/", 2)[1], path) for path in filed if path.count("/") > 1]
        if inner:
            splits, rows, folders = folders, inner, sorted({folder for folder, _ in inner})
    if len(folders) < 2:
        alone = f" (one sub-folder alone, {folders[0]}, is no label)" if folders else ""
        return [("", path) for path in paths], f"of {of}, no labels{alone}", 0
    if splits:
        where = f"in {len(folders):,} categories of {of}, the sub-folders of its splits "
        where += f"{', '.join(splits[:-1])} and {splits[-1]}"
    else:
        where = f"in {len(folders):,} folders of {of}"
    return rows, where, len(paths) - len(rows)


@dataclass
class _Listing:
    """The photos found in a folder; regular entries are listed before linked ones."""

    excludes: Callable[[str], bool]
    photos: list[str] = field(default_factory=list)  # paths relative to the folder
    not_read: Counter[str] = field(default_factory=Counter)  # by extension
    excluded: int = 0
    unreadable: int = 0  # folders

    def walk(self, root: Path) -> None:
        """List the photos below `root`, which itself is never skipped."""
        listed: set[str] = set()  # resolved paths of listed files and folders
        links = deque[tuple[str, str]]()  # relative path, and resolved path of its folder
        waiting = deque([("", os.path.realpath(root))])
        while waiting or links:
            if not waiting:
                path, place = links.popleft()
                target = os.path.realpath(os.path.join(place, path.rpartition("/")[2]))
                around = place == target or place.startswith(target.rstrip(os.sep) + os.sep)
                if target in listed or around:
                    continue
                if Path(target).is_dir():
                    waiting.append((path + "/", target))
                elif Path(target).is_file() and self._take(path, target):
                    listed.add(target)
                continue
            prefix, place = waiting.popleft()
            if place in listed:
                continue
            listed.add(place)
            in_library = APPLE_LIBRARY.fullmatch(Path(place).name.lower())
            try:
                with os.scandir(place) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        name = entry.name
                        if name.startswith("."):
                            continue
                        if entry.is_symlink():
                            if not made_by_a_program(name):
                                links.append((prefix + name, place))
                        elif entry.is_dir():
                            if not made_by_a_program(name) and not (
                                in_library and name.lower() not in APPLE_PHOTOS
                            ):
                                waiting.append((f"{prefix}{name}/", os.path.join(place, name)))
                        elif entry.is_file():
                            file = os.path.join(place, name)
                            if self._take(prefix + name, file):
                                listed.add(file)
            except OSError:
                self.unreadable += 1

    def _take(self, path: str, file: str) -> bool:
        """Add a file if it is a photo to include; otherwise count the reason."""
        suffix = suffix_of(path)
        if suffix in NOT_READ:
            if not self.excludes(path):
                self.not_read[suffix] += 1
        elif is_photo(suffix, partial(_head, file)):
            if not self.excludes(path):
                self.photos.append(path)
                return True
            self.excluded += 1
        return False


def made_by_a_program(name: str) -> bool:
    """Return whether a folder's name is one of `NO_PHOTOS`."""
    return NO_PHOTOS.fullmatch(name.lower()) is not None


def _head(file: str) -> bytes:
    with open(file, "rb", buffering=0) as opened:
        return opened.read(HEAD)


def _matcher(exclude: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a path is excluded, in any Unicode normalization."""
    if not exclude:
        return lambda path: False
    # A pattern that starts with # is not a comment: "#recycle" is a folder.
    lines = [("\\" if text.startswith("#") else "") + _composed(text) for text in exclude]
    try:
        spec = GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise ArgumentError(
            f"{' '.join(map(repr, exclude))} cannot be understood as patterns of what to exclude: "
            "write them as in a .gitignore file, such as 'drafts/' or '*.gif'."
        ) from error
    return lambda path: spec.match_file(_composed(path))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _not_read(kinds: Counter[str]) -> str:
    named = [f"{count:,} {suffix}" for suffix, count in kinds.most_common(KINDS_NAMED)]
    more = ", …" if len(kinds) > KINDS_NAMED else ""
    return f"{kinds.total():,} files of kinds that are not read: {', '.join(named)}{more}"


def with_known_hashes(photos: Photos, record: Path) -> Photos:
    """Return photos with the sha256 of each, reading only files that changed since the last call.

    A file counts as unchanged if its size, inode, and times of modification and status change
    match the record.

    Parameters
    ----------
    photos : Photos
        From `scan`.
    record : Path
        A table of hashes, read if it exists and rewritten if anything changed.

    Returns
    -------
    Photos
        The same photos, with the column `sha256`.
    """
    stamps = [_stamp(photos.root / path) for path in photos.table["path"]]
    known: dict[tuple[str, str], str] = {}
    if record.is_file():
        try:
            kept = load_table(record)
            rows = zip(kept["path"], kept["stamp"], kept["sha256"], strict=True)
            known = {(path, stamp): sha for path, stamp, sha in rows}
        except (CacheError, KeyError):  # every file is read again
            with suppress(OSError):
                aside = set_aside(record).name
                print(f"{record} is damaged: all photos are read again, and it is kept as {aside}.")
    keys = list(zip(photos.table["path"], stamps, strict=True))
    sha256 = [known.get(key, "") for key in keys]
    todo = [i for i, sha in enumerate(sha256) if not sha]
    digests = hash_files([photos.file(i) for i in todo], "Reading")
    for i, sha in zip(todo, digests, strict=True):
        sha256[i] = sha
    table = photos.table.assign(sha256=sha256)
    if todo or len(known) != len(keys):
        # A file written a moment ago may change again with the same time stamp.
        now = time.time_ns()
        settled = [
            bool(stamp) and now - int(stamp.rpartition(" ")[2]) > SETTLED * 1e9 for stamp in stamps
        ]
        # If the record cannot be written, the hashes are computed again next time.
        with suppress(LabError, OSError):
            make_way(record)
            save_table(record, table.assign(stamp=stamps)[settled][["path", "stamp", "sha256"]])
    return Photos(photos.name, photos.root, table, photos.origin)


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"
