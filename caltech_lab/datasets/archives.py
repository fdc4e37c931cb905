"""Archives with a known md5: downloaded over https, resumed if interrupted, unpacked safely."""

import errno
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PureWindowsPath
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from caltech_lab.errors import CacheError, DatasetError
from caltech_lab.storage.files import flush_folder, lock
from caltech_lab.storage.progress import progress

SCHEMES = ("https",)  # allowed for addresses and redirects
TIMEOUT = 10  # seconds to connect, and between two blocks of a download
ATTEMPTS = 5  # per call, when the connection keeps breaking
_ANEW = "delete it and call again"


@dataclass(frozen=True)
class Archive:
    """A zip file on the web that contains the folder of a dataset as a tar.gz.

    Attributes
    ----------
    dataset : str
        Name of the dataset in messages.
    url, md5 : str
        The https address of the zip, and its md5 (32 hexadecimal digits).
    name : str
        File name under which the zip is stored.
    size : int
        Size of the zip in bytes, or slightly more.
    folder : str
        Name of the folder; the tar.gz is called `<folder>.tar.gz` and may be anywhere in the zip.
    max_members, max_bytes : int
        A tar.gz with more entries or bytes is treated as a decompression bomb and not unpacked.
    """

    dataset: str
    url: str
    md5: str
    name: str
    size: int
    folder: str
    max_members: int
    max_bytes: int

    def fetch(self, data: Path, besides: int = 0) -> Path:
        """Download the zip, resuming an interrupted download.

        Parameters
        ----------
        data : Path
            The target folder. A zip that you put there yourself is used if its md5 is correct.
        besides : int
            Free space needed in addition to the zip, in bytes.

        Returns
        -------
        Path
            `data/name`, which exists only once it is complete and its md5 is correct.

        Raises
        ------
        DatasetError
            When the server cannot be reached, the downloaded or the existing file is not the
            expected one, or the disk does not have enough space.
        """
        path = data / self.name
        part = data / f"{self.name}.part"
        with lock(path):
            there = path.exists()
            if there and _md5_of(path) != self.md5:
                raise DatasetError(f"{path} is not the official archive: {_ANEW}.")
            need = besides + (0 if there else self.size - _size(part))
            free = shutil.disk_usage(data).free
            if free < need:
                raise DatasetError(
                    f"{data} has {free / 1e6:.0f} MB of free space and {self.dataset} needs "
                    f"{need / 1e6:.0f} MB more: free some, or set CALTECH_LAB_DATA to another disk."
                )
            if not there:
                _download(self.url, part, self.md5)
                os.replace(part, path)
                flush_folder(data)
        return path

    def unpack(self, path: Path, goal: Path, files: int | None = None) -> None:
        """Unpack the folder to `goal`, which appears only once it is complete.

        Parameters
        ----------
        path : Path
            The zip.
        goal : Path
            Path of the unpacked folder; it must not exist yet, or be an empty folder.
        files : int, optional
            Expected number of files, for the progress bar.

        Raises
        ------
        DatasetError
            When the zip is damaged, lacks the folder, or is not safe to unpack.
        """
        aside = goal.with_name(".unpacking")
        shutil.rmtree(aside, ignore_errors=True)  # left by a process that was killed
        aside.mkdir(parents=True)
        try:
            with (
                self._open(path) as tar,
                progress(desc=f"Unpacking {path.name}", total=files, unit=" files") as bar,
            ):
                for member in self._members(tar, path):
                    _write(tar, member, aside)
                    bar.update()
            if not (aside / self.folder).is_dir():
                raise DatasetError(f"{path} holds no folder {self.folder}: {_ANEW}.")
            if hasattr(os, "sync"):
                os.sync()  # one call, because an fsync per file would take minutes
            if goal.exists():
                goal.rmdir()
            os.replace(aside / self.folder, goal)
            flush_folder(goal.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def read(self, path: Path, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Iterate over the contents of selected files, without unpacking the archive.

        Parameters
        ----------
        path : Path
            The zip.
        wanted : container of str
            Paths relative to the folder, with `/`. Files that the zip lacks are skipped.

        Yields
        ------
        name : str
            As in `wanted`.
        content : bytes
            Content of the whole file.

        Raises
        ------
        DatasetError
            When the zip is damaged or is not safe to unpack.
        """
        with self._open(path) as tar:
            for member in self._members(tar, path):
                name = member.name.removeprefix("./").removeprefix(f"{self.folder}/")
                if name in wanted and (content := tar.extractfile(member)):
                    yield name, content.read()

    @contextmanager
    def _open(self, path: Path) -> Iterator[tarfile.TarFile]:
        """Open the tar inside the zip as a stream, without writing it to disk."""
        try:
            with zipfile.ZipFile(path) as outer:
                for entry in outer.infolist():
                    _refuse_climbing(entry.filename, path)
                    if stat.S_ISLNK(entry.external_attr >> 16):
                        raise _unsafe(entry.filename, "is a link", path)
                name = f"{self.folder}.tar.gz"
                inner = [e for e in outer.infolist() if Path(e.filename).name == name]
                if not inner:
                    raise DatasetError(f"{path} has no {name}: {_ANEW}.")
                with outer.open(inner[0]) as raw, tarfile.open(fileobj=raw, mode="r|gz") as tar:
                    yield tar
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
            raise DatasetError(f"{path} is damaged ({error}): {_ANEW}.") from error

    def _members(self, tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
        """Iterate over the files and folders of a tar, raising an error at any unsafe entry."""
        total = 0
        for number, member in enumerate(tar, start=1):
            _refuse_climbing(member.name, path)
            if not (member.isreg() or member.isdir()):
                raise _unsafe(member.name, "is a link or a device", path)
            total += member.size
            if number > self.max_members or total > self.max_bytes:
                raise _unsafe(member.name, f"makes it far larger than {self.dataset}", path)
            yield member


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a file or make a folder, ignoring the owner, mode and time in the archive.

    `TarFile.extract` with `filter="data"` does the same, but needs Python 3.11.4; Debian 12 has
    3.11.2.
    """
    path = folder / member.name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif content := tar.extractfile(member):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            shutil.copyfileobj(content, file)


def _refuse_climbing(name: str, path: Path) -> None:
    # Windows paths include both kinds of slash and drive letters, so this is safe on any system.
    inside = PureWindowsPath(name)
    if inside.anchor or ".." in inside.parts:
        raise _unsafe(name, "leads out of its folder", path)


def _unsafe(name: str, why: str, path: Path) -> DatasetError:
    return DatasetError(f"{path} is not safe to unpack, for its entry {name!r} {why}: {_ANEW}.")


# -- Downloading


def _download(url: str, part: Path, md5: str) -> None:
    """Download `url` to `part`, resuming after the bytes that are already in `part`."""
    _require_scheme(url, part)
    opener = build_opener(_Redirects(part))
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before and _md5_of(part) == md5:
            return
        if _receive(opener, url, part):
            break
        if _size(part) == before:
            raise DatasetError(
                f"The download of {part.stem} stalled at {before / 1e6:.0f} MB: "
                "call again to go on from there."
            )
    else:
        raise DatasetError(
            f"The download of {part.stem} broke off {ATTEMPTS} times, the last time at "
            f"{_size(part) / 1e6:.0f} MB: call again to go on from there."
        )
    if _md5_of(part) != md5:
        part.unlink()
        raise DatasetError(
            f"What came from {url} is not the official archive (its md5 differs) and was deleted: "
            "call again to download it anew."
        )


def _receive(opener: OpenerDirector, url: str, part: Path) -> bool:
    """Append the remaining bytes to `part`; return False if the connection broke."""
    have = _size(part)
    headers = {"User-Agent": "caltech-lab"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = opener.open(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and have:  # longer than the archive, or of the same length but wrong
            part.unlink()
            return False
        raise DatasetError(
            f"{url} answered {error.code} {error.reason}: try again later, or {_by_hand(part)}."
        ) from error
    except (OSError, HTTPException) as error:
        raise DatasetError(
            f"{urlsplit(url).netloc} cannot be reached ({getattr(error, 'reason', error)}): "
            f"check the network and call again, or {_by_hand(part)}."
        ) from error
    with response:
        if response.status != 206:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            return False
        length = response.headers["Content-Length"]
        total = have + int(length) if length else None
        with (
            open(part, "ab" if have else "wb") as file,
            progress(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True) as bar,
        ):
            while block := _read(response):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
            return block is not None and total in (None, file.tell())


def _read(response: IO[bytes]) -> bytes | None:
    # Only network errors are caught here; disk errors have a different message.
    try:
        return response.read(1 << 16)
    except (OSError, HTTPException):
        return None


class _Redirects(HTTPRedirectHandler):
    """Follow redirects, but only to addresses with an allowed scheme."""

    def __init__(self, part: Path) -> None:
        self.part = part

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        _require_scheme(newurl, self.part)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_scheme(url: str, part: Path) -> None:
    if urlsplit(url).scheme not in SCHEMES:
        raise DatasetError(
            f"{url} is not an {' or '.join(SCHEMES)} address and was not asked: {_by_hand(part)}."
        )


def _by_hand(part: Path) -> str:
    return f"put {part.stem} into {part.parent} by hand"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5_of(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


# -- Disk errors


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Raise a DatasetError that says in one sentence why `folder` could not be written."""
    try:
        yield
    except (OSError, CacheError) as error:
        # The message of `write_atomically` is about outputs, not about a dataset.
        cause = error.__cause__ if isinstance(error, CacheError) else error
        number = getattr(cause, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            fault = "has no space left: free some"
        elif number in (errno.EACCES, errno.EROFS, errno.EPERM):
            fault = "cannot be written: make it writable"
        else:
            fault = f"cannot be used ({cause}): mend it"
        raise DatasetError(f"{folder} {fault}, or set CALTECH_LAB_DATA elsewhere.") from error
