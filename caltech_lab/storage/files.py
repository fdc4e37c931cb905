"""Reading and writing files: written atomically, and read without executing any code in them."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from caltech_lab.errors import CacheError
from caltech_lab.settings import settings


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path; its file replaces `path` when the block ends without an error.

    The temporary file is in the same folder and has the same extension. It is flushed to disk,
    then renamed. If the block fails, it is removed and `path` stays unchanged.

    Parameters
    ----------
    path : Path
        The file to write; missing parent folders are created.

    Yields
    ------
    Path
        The temporary path to write to.

    Raises
    ------
    CacheError
        When the disk is full, or the file cannot be created.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def flush_folder(folder: Path) -> None:
    """Make renames inside `folder` durable in a power cut, on systems that support it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def explain(error: OSError, path: Path) -> CacheError | OSError:
    """Turn common write errors into a `CacheError` with advice.

    Parameters
    ----------
    error : OSError
        Error of writing the file.
    path : Path
        The file.

    Returns
    -------
    CacheError or OSError
        Says what to do; the same error if it is not a common one.
    """
    outputs = settings().outputs
    ours = path.is_relative_to(outputs)
    folder = outputs if ours else path.parent  # the folder that the user named
    by = " with --outputs or CALTECH_LAB_OUTPUTS" if ours else ""
    above = (place for place in (path, *path.parents) if os.path.lexists(place))
    nearest = next(above, path)  # the part of the path that exists
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return CacheError(
                f"No space is left for {path}: free some, or choose another disk{by}."
            )
        case errno.EISDIR:
            return CacheError(f"{path} is a folder: name a file in it.")
        case errno.ENAMETOOLONG:
            return CacheError(f"{path} is too long for a name of a file: choose a shorter one.")
        case errno.ENOTDIR | errno.EEXIST if not nearest.is_dir():
            what = "" if nearest == folder else f"{folder} cannot be made, since "
            return CacheError(f"{what}{nearest} is not a folder: choose another folder{by}.")
        case errno.EACCES | errno.EROFS | errno.EPERM:
            return CacheError(f"{folder} cannot be written: choose another folder{by}.")
        case errno.ENOENT if not path.parent.is_dir():
            return CacheError(f"{folder} cannot be made: choose another folder{by}.")
    return error


def make_folder(folder: Path) -> Path:
    """Make a folder and its parents if they do not exist, and return its path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder / "files") from error
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON; NaN raises a `ValueError`."""
    with write_atomically(path) as temporary:
        temporary.write_text(json_text(value) + "\n", encoding="utf-8")


def json_text(value: Any, encoding: str = "utf-8") -> str:
    r"""Return `value` as indented JSON that is valid UTF-8; NaN raises a `ValueError`.

    All non-ASCII characters are escaped if `encoding` cannot represent one of them, or if a file
    name contains bytes that are not valid Unicode.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        valid = text.encode(encoding) == text.encode()
    except (UnicodeEncodeError, LookupError):
        valid = False
    return text if valid else json.dumps(value, indent=2, allow_nan=False)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    CacheError
        When the file is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise CacheError(f"{path} is not valid JSON: delete it to have it made again.") from error


def valid_unicode(text: str) -> str:
    """Return a text with escapes for what is no Unicode, such as some bytes of file names."""
    return text.encode(errors="backslashreplace").decode()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def set_aside(path: Path) -> Path:
    """Rename a damaged or foreign file to `<name>.damaged`, and return the new path.

    If that name is taken, `-2`, `-3` and so on is appended, so that nothing is overwritten.
    """
    names = (f"{path.name}.damaged{number}" for number in ("", *map("-{}".format, range(2, 1000))))
    aside = next(place for name in names if not os.path.lexists(place := path.with_name(name)))
    path.rename(aside)
    return aside


def make_way(path: Path) -> None:
    """Set aside a folder at the path of a cache file, and print a message."""
    if path.is_dir():
        print(f"{path} is a folder where a file belongs: it is kept as {set_aside(path).name}.")


def lock(path: Path) -> FileLock:
    """Return a lock file beside `path`, so that only one process at a time works on it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.lock").touch()
    except OSError as error:
        raise explain(error, path) from error
    return FileLock(path.with_name(f".{path.name}.lock"))
