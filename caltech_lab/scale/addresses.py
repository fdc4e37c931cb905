"""Photos in local folders, object stores and tar files.

An address is a local folder or a URI that pyarrow has a file system for: `s3://`, `gs://`,
`hdfs://`, `file://`. It contains photos, either in one subfolder per category or all in one folder,
or tar files in the WebDataset layout.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pyarrow import fs

from caltech_lab.datasets.folder import categorized, made_by_a_program
from caltech_lab.datasets.formats import FORMATS_LISTED, HEAD, is_photo, suffix_of
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.extraction import CANNOT_BE_OPENED
from caltech_lab.embedding.pillow_readers import MAX_BYTES
from caltech_lab.errors import DatasetError

PHOTOS_A_PART = 256
BYTES_A_PART = 64 * 2**20
LABELS = (".cls", ".txt")  # WebDataset label files have the base name of their photo


class Item(NamedTuple):
    """The file of a photo, or the reason why it could not be read.

    Attributes
    ----------
    path : str
        Relative to the address; for a photo in a tar file, the path of the tar file followed by
        the name in it.
    category : str
        Empty if there is none.
    data : bytes
        Content of the file; empty if it could not be read.
    fault : str
        Why it could not be read, or empty.
    """

    path: str
    category: str
    data: bytes
    fault: str = ""


@dataclass(frozen=True)
class Part:
    """Photos that are embedded together and stored in one shard.

    Attributes
    ----------
    number : int
        Position among the parts.
    paths, categories : list of str
        The photos; empty if the part is a tar file.
    tar : str
        Path of the tar file, or empty.
    key : str
        A hash of the paths, categories and versions of the photos.
    """

    number: int
    paths: list[str]
    categories: list[str]
    tar: str
    key: str


def file_system(address: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of an address and the path in it.

    Raises
    ------
    DatasetError
        When there is no such file system, or it cannot be reached.
    """
    if "://" not in address:
        return fs.LocalFileSystem(), Path(address).expanduser().absolute().as_posix()
    try:
        system, path = fs.FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{address} cannot be opened ({error}): check the address.") from error
    return system, path.rstrip("/")


def parts_of(photos: Photos) -> list[Part]:
    """Divide the photos of a folder into parts, in their order."""
    table = photos.table
    rows = list(zip(table["path"], table["category"], photos.sha256, strict=True))
    sizes = [_size(photos.file(i)) for i in range(len(photos))]
    return _divided(rows, sizes)


def parts_at(address: str) -> list[Part]:
    """List the photos at an address and divide them into parts, each tar file being one part.

    Raises
    ------
    DatasetError
        When the address cannot be read, or has neither photos nor tar files.
    """
    system, root = file_system(address)
    try:
        selector = fs.FileSelector(root, recursive=True)
        found = [info for info in system.get_file_info(selector) if info.is_file]
    except OSError as error:
        raise DatasetError(f"{address} cannot be read ({error}): check the address.") from error
    files = []
    for info in found:
        path = info.path[len(root) :].lstrip("/")
        *above, name = path.split("/")
        hidden = any(part.startswith(".") for part in (*above, name))
        if not hidden and not any(map(made_by_a_program, above)):
            files.append((path, info))
    stamps = {path: f"{info.size} {info.mtime_ns}" for path, info in files}
    if tars := sorted(path for path in stamps if path.endswith(".tar")):
        return [Part(i, [], [], path, _key([[path, stamps[path]]])) for i, path in enumerate(tars)]
    sizes = {
        path: info.size
        for path, info in files
        if is_photo(suffix_of(path), partial(_head, system, info.path))
    }
    if not sizes:
        raise DatasetError(
            f"No photos were found at {address}: choose a folder of {FORMATS_LISTED} photos, or of "
            "tar files that contain them."
        )
    named, _, _ = categorized(sizes, address)
    named.sort(key=lambda row: (row[0].lower(), row))
    rows = [(path, category, stamps[path]) for category, path in named]
    return _divided(rows, [sizes[path] for path, _, _ in rows])


def _head(system: fs.FileSystem, path: str) -> bytes:
    with system.open_input_file(path) as file:
        head: bytes = file.read(HEAD)
    return head


def read(address: str, part: Part) -> Iterator[Item]:
    """Read the photos of a part one by one.

    Parameters
    ----------
    address : str
        Address that the paths are relative to.
    part : Part
        From `parts_of` or `parts_at`.

    Yields
    ------
    Item
        In the order of the part.
    """
    system, root = file_system(address)
    if part.tar:
        with system.open_input_stream(f"{root}/{part.tar}") as stream:
            yield from _in_tar(part.tar, stream)
        return
    for path, category in zip(part.paths, part.categories, strict=True):
        try:
            with system.open_input_file(f"{root}/{path}") as file:
                yield Item(path, category, file.read(MAX_BYTES + 1))
        except OSError:
            sentence = CANNOT_BE_OPENED.format(shown(address, path))
            yield Item(path, category, b"", sentence)


def shown(address: str, path: str) -> str:
    """Return the full path of a photo for messages."""
    if "://" in address:
        return f"{address.partition('?')[0].rstrip('/')}/{path}"
    return str(Path(address).expanduser().absolute() / path)


def _in_tar(tar: str, stream: Any) -> Iterator[Item]:
    """Read a WebDataset, in which files with the same base name form one sample.

    References
    ----------
    A. Aizman, G. Maltby, T. Breuel: High performance I/O for large scale deep learning. IEEE Big
    Data 2019.
    """
    key, photo, label = "", None, None
    # "r|" reads sequentially, because object stores provide streams.
    with tarfile.open(fileobj=io.BufferedReader(stream, 1 << 20), mode="r|") as members:
        for member in members:
            path = PurePosixPath(member.name)
            if not member.isfile() or path.name.startswith("."):
                continue
            now = str(path.parent / path.name.partition(".")[0])
            if now != key:
                if photo is not None:
                    yield _item(tar, photo, label)
                key, photo, label = now, None, None
            file = members.extractfile(member)
            data = file.read(MAX_BYTES + 1) if file else b""
            if path.suffix.lower() in LABELS:
                label = data.decode("utf-8", "replace").strip()
            elif is_photo(path.suffix.lower(), partial(bytes, data[:HEAD])):
                photo = member.name, data
    if photo is not None:
        yield _item(tar, photo, label)


def _item(tar: str, photo: tuple[str, bytes], label: str | None) -> Item:
    name, data = photo
    folder = PurePosixPath(name).parent.name
    return Item(f"{tar}/{name.removeprefix('./')}", folder if label is None else label, data)


def _divided(rows: list[tuple[str, str, str]], sizes: list[int]) -> list[Part]:
    """Divide rows of (path, category, stamp) into parts with at most so many photos and bytes."""
    parts: list[Part] = []
    start, held = 0, 0
    for i, size in enumerate(sizes):
        if i > start and (i - start == PHOTOS_A_PART or held + size > BYTES_A_PART):
            parts.append(_part(len(parts), rows[start:i]))
            start, held = i, 0
        held += size
    if rows:
        parts.append(_part(len(parts), rows[start:]))
    return parts


def _part(number: int, rows: list[tuple[str, str, str]]) -> Part:
    key = _key([list(row) for row in rows])
    return Part(number, [row[0] for row in rows], [row[1] for row in rows], "", key)


def _key(rows: list[list[str]]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
