"""Anybody's own photos as `Photos`: a folder of folders, or one folder of photos."""

import hashlib
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import pandas as pd

from caltech_lab.datasets.photos import Photos, hash_files
from caltech_lab.errors import CacheError, DatasetError, LabError
from caltech_lab.storage.files import load_table, save_table, set_aside

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
SETTLED = 2.0  # seconds after which a file's time stamps tell of every later change


def scan(root: Path) -> Photos:
    """List the photos below a folder; the first folder below `root` names the category.

    Where there are no sub-folders with photos, the photos of the folder itself are taken, without
    categories. Hidden files and folders are passed over. A link is followed once: to a folder or
    photo that is not in the list already, and never to a folder that the link itself lies in.

    Parameters
    ----------
    root : Path
        A folder with one sub-folder a category, each with photos at any depth; or with photos
        alone, which then have no categories.

    Returns
    -------
    Photos
        Sorted by category and path; named after the folder and its place, so that two folders
        of one name do not share their artifacts.

    Raises
    ------
    DatasetError
        When the folder is missing, or holds no photos.
    """
    root = Path(root).expanduser().absolute()
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}: check the path.")
    paths, unreadable = _photos_below(root)
    named = [path for path in paths if _is_text(path)]
    filed = [path for path in named if "/" in path]
    left_out = {
        "beside the sub-folders": len(named) - len(filed) if filed else 0,
        "with a name that is not Unicode": len(paths) - len(named),
    }
    rows = [(path.partition("/")[0] if filed else "", path) for path in filed or named]
    if not rows:
        raise DatasetError(
            f"No photos were found in {root} or in its sub-folders: it takes files ending in "
            f"{', '.join(sorted(SUFFIXES))}, in one sub-folder a category or all in one folder."
        )
    rows.sort(key=lambda row: (row[0].lower(), row))
    table = pd.DataFrame(rows, columns=["category", "path"])[["path", "category"]]
    n_folders = table["category"].nunique()
    where = f"in {n_folders:,} folders of {root.name}" if filed else f"of {root.name}, no labels"
    notes = [f"{len(table):,} photos {where}"]
    notes += [f"{count:,} {why} left out" for why, count in left_out.items() if count]
    notes += [f"{unreadable:,} folders could not be opened"] * bool(unreadable)
    # Folders of one name in different places are different photos; 60 characters fit any disk.
    place = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:6]
    name = f"{root.name[:60] or 'photos'}-{place}"
    return Photos(name, root, table, "; ".join(notes))


def _photos_below(root: Path) -> tuple[list[str], int]:
    """Return the paths of photos relative to `root`, and how many folders could not be opened.

    What is there itself comes before what is linked to, so that links add only what is new.
    """
    found: list[str] = []
    listed: set[str] = set()  # true paths of what was taken
    links = deque[tuple[str, str]]()  # relative path, and true path of the folder it lies in
    unreadable = 0
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
            elif Path(target).is_file() and _is_photo(path):
                listed.add(target)
                found.append(path)
            continue
        prefix, place = waiting.popleft()
        if place in listed:
            continue
        listed.add(place)
        try:
            with os.scandir(place) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        links.append((prefix + entry.name, place))
                    elif entry.is_dir():
                        waiting.append((f"{prefix}{entry.name}/", os.path.join(place, entry.name)))
                    elif entry.is_file() and _is_photo(entry.name):
                        listed.add(os.path.join(place, entry.name))
                        found.append(prefix + entry.name)
        except OSError:
            unreadable += 1
    return found, unreadable


def _is_photo(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8; they could not be written to a table
        return False
    return True


def with_known_hashes(photos: Photos, record: Path) -> Photos:
    """Return photos with the sha256 of each, reading only files that changed since the last time.

    A file is taken for unchanged when its size, its inode and its times of change are those of
    the record.

    Parameters
    ----------
    photos : Photos
        As `scan` gives them.
    record : Path
        A table of hashes, read where it is there and written anew where anything changed.

    Returns
    -------
    Photos
        The same, with the column `sha256`.
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
                set_aside(record)
    keys = list(zip(photos.table["path"], stamps, strict=True))
    sha256 = [known.get(key, "") for key in keys]
    todo = [i for i, sha in enumerate(sha256) if not sha]
    digests = hash_files([photos.file(i) for i in todo], "Reading")
    for i, sha in zip(todo, digests, strict=True):
        sha256[i] = sha
    table = photos.table.assign(sha256=sha256)
    if todo or len(known) != len(keys):
        # What was written a moment ago may change again without its time stamp telling.
        now = time.time_ns()
        settled = [
            bool(stamp) and now - int(stamp.rpartition(" ")[2]) > SETTLED * 1e9 for stamp in stamps
        ]
        with suppress(LabError):  # where nothing can be written, hashes are made again next time
            save_table(record, table.assign(stamp=stamps)[settled][["path", "stamp", "sha256"]])
    return Photos(photos.name, photos.root, table, photos.origin)


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"
