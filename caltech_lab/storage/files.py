"""Reading and writing files: written atomically, and read without executing any code in them."""

import csv
import errno
import hashlib
import json
import math
import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from filelock import FileLock

from caltech_lab.errors import CacheError
from caltech_lab.settings import settings

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import BaseEstimator


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
    """Turn common write errors into a `CacheError` with advice; return others unchanged."""
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


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array atomically as `.npy`."""
    with write_atomically(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Read an array from `.npy`, without pickle.

    Raises
    ------
    CacheError
        When the file is not a plain array.
    """
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("arrays written here have the first version of the header")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            # The header is checked against the size of the file before memory is allocated.
            size = file.tell() + math.prod(shape) * dtype.itemsize
            if dtype.hasobject or min(shape, default=0) < 0 or size != path.stat().st_size:
                raise ValueError("the header and the size of the file do not agree")
            file.seek(0)
            array: np.ndarray = np.load(file, allow_pickle=False)
            return array
    except (ValueError, EOFError, OSError) as error:
        raise CacheError(
            f"{path} is not a NumPy array: delete it to have it made again."
        ) from error


def save_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table with its index atomically as Parquet.

    Parquet strings must be valid Unicode, so text that is not, such as some file names, is stored
    as bytes.
    """
    with write_atomically(path) as temporary:
        _with_text(table, encode=True).to_parquet(temporary)


def _with_text(table: "pd.DataFrame", encode: bool) -> "pd.DataFrame":
    """Return a table with invalid Unicode encoded as bytes, or decode such bytes to text."""
    import pandas as pd

    def changed(values: Any) -> list[Any] | None:
        if values.dtype != object:
            return None
        cells, how = values.tolist(), ("utf-8", "surrogatepass")
        if encode:
            try:
                "".join(cell for cell in cells if isinstance(cell, str)).encode()
            except UnicodeEncodeError:
                return [c.encode(*how) if isinstance(c, str) else c for c in cells]
        elif any(isinstance(cell, bytes) for cell in cells):
            return [c.decode(*how) if isinstance(c, bytes) else c for c in cells]
        return None

    # Without dtype=object, pandas would convert the cells to its own string type.
    table = table.copy(deep=False)
    for i in range(table.shape[1]):
        if (cells := changed(table.iloc[:, i])) is not None:
            table.isetitem(i, pd.Series(cells, table.index, dtype=object))  # type: ignore[arg-type]
    if (cells := changed(table.index)) is not None:
        table.index = pd.Index(cells, dtype=object, name=table.index.name)
    return table


def csv_text(table: "pd.DataFrame", index: bool = False) -> str:
    """Return a table as CSV with all text quoted, as pandas does not quote a carriage return."""
    text: str = table.to_csv(index=index, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    return text


def valid_unicode(text: str) -> str:
    """Return a text with escapes for what is no Unicode, such as some bytes of file names."""
    return text.encode(errors="backslashreplace").decode()


FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


def write_csv(path: Path, table: "pd.DataFrame", index: bool = True) -> None:
    """Write a table atomically as CSV for people; it is not meant to be read back.

    A name that a spreadsheet would interpret as a formula gets a leading apostrophe, and bytes
    that are not valid Unicode are escaped.

    References
    ----------
    OWASP: CSV injection.
    """
    from pandas.api.types import is_numeric_dtype

    def harmless(cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        text = valid_unicode(cell)
        return f"'{text}" if FORMULA.match(text) else text

    safe = table.rename(index=harmless, columns=harmless)
    for i, kind in enumerate(table.dtypes):
        if not is_numeric_dtype(kind):
            safe.isetitem(i, table.iloc[:, i].map(harmless).to_numpy(object))
    with write_atomically(path) as temporary:
        temporary.write_text(csv_text(safe, index), encoding="utf-8", newline="\n")


def load_table(path: Path) -> "pd.DataFrame":
    """Read a table written by `save_table`, with all values unchanged.

    Raises
    ------
    CacheError
        When the file is not a table.
    """
    import pandas as pd
    from pyarrow import ArrowException

    try:
        with open(path, "rb") as file:  # given a folder, pandas would read all files in it
            table = pd.read_parquet(file)
        return _with_text(table, encode=False)
    except (ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"{path} is not a table: delete it to have it made again.") from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Types in our models besides those of scikit-learn, which skops trusts by default.
TRUSTED_TYPES: tuple[str, ...] = (
    "caltech_lab.classification.svm.CalibratedSVM",
    "caltech_lab.classification.svm.PowerNormalizer",
    "caltech_lab.retrieval.novelty.NoveltyDetector",
    "caltech_lab.studies.vectors.projections.PartialWhitener",
    "caltech_lab.studies.vectors.projections.PosteriorProjection",
    "caltech_lab.studies.vectors.projections.ProxyProjection",
    "numpy.round",
    "sklearn.tree._tree.Tree",
)
MAX_MODEL_BYTES = 4 * 2**30  # uncompressed; the random forest for 9,144 photos takes 0.8 GB


def save_model(path: Path, model: "BaseEstimator") -> None:
    """Write a fitted scikit-learn estimator atomically with skops."""
    import zipfile

    skops = _skops()
    with write_atomically(path) as temporary:
        # Light compression reduces a forest from 780 MB to 40 MB without taking longer.
        skops.dump(model, temporary, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def load_model(path: Path) -> Any:
    """Read an estimator written by `save_model`, without pickle.

    Raises
    ------
    CacheError
        When the file contains types that are not trusted, unpacks to more than `MAX_MODEL_BYTES`,
        or is damaged.

    References
    ----------
    skops documentation, "Secure persistence with skops".
    """
    import zipfile

    skops = _skops()
    try:
        with zipfile.ZipFile(path) as archive:  # never reads more of an entry than is stated here
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_MODEL_BYTES:
            raise CacheError(
                f"{path} unpacks to {size / 2**30:,.1f} GiB, more than any model of ours: delete "
                "it to have the model fitted again."
            )
        return skops.load(path, trusted=list(TRUSTED_TYPES))
    except skops.exceptions.UntrustedTypesFoundException as error:
        strange = sorted(set(skops.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
        raise CacheError(
            f"{path} holds types that are not trusted ({', '.join(strange)}): "
            "delete it to have the model fitted again."
        ) from error
    except (
        zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, EOFError, MemoryError,
    ) as error:  # fmt: skip
        raise CacheError(f"{path} is damaged: delete it to have the model fitted again.") from error


class _Hidden:
    """An import hook that hides packages."""

    names = ("torch", "pytest")

    def find_spec(self, name: str, *_: Any) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _skops() -> Any:
    """Import `skops.io` without PyTorch and pytest, which take seconds.

    skops imports all of scikit-learn, parts of which import these two if they are there.
    """
    hidden: Any = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        import skops.io
        import skops.io.exceptions
    finally:
        sys.meta_path.remove(hidden)
    return skops.io


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
