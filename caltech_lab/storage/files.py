"""Files written whole or not at all, and read without running anyone's code."""

import csv
import errno
import hashlib
import json
import math
import os
import re
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
    """Give a temporary path whose file takes the place of `path` when the block ends well.

    The temporary file lies in the same folder and keeps the ending of `path`, is flushed to the
    disk, then renamed. When the block fails, it is removed and `path` stays as it was.

    Parameters
    ----------
    path : Path
        The file to write; missing folders above it are made.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    CacheError
        When the disk is full, or the file cannot be made there.
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
    """Make renames inside `folder` survive a power cut, where the system offers that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def explain(error: OSError, path: Path) -> CacheError | OSError:
    """Turn the usual faults of writing into a sentence, and leave others as they are."""
    outputs = settings().outputs
    ours = path.is_relative_to(outputs)
    folder = outputs if ours else path.parent  # what somebody typed
    by = " with --outputs or CALTECH_LAB_OUTPUTS" if ours else ""
    above = (place for place in (path, *path.parents) if os.path.lexists(place))
    nearest = next(above, path)  # what is there of the path
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
    """Make a folder with those above it, where it is not there yet, and return its path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder / "files") from error
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused."""
    with write_atomically(path) as temporary:
        temporary.write_text(json_text(value) + "\n", encoding="utf-8")


def json_text(value: Any, encoding: str = "utf-8") -> str:
    r"""Return `value` as indented JSON that is valid UTF-8; NaN is refused.

    Where `encoding` cannot hold a character, and for bytes of a file's name that are no Unicode,
    all that is not ASCII is written as escapes.
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
    """Write an array as `.npy`, whole or not at all."""
    with write_atomically(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Read an array from `.npy`, never unpickling.

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
            # What the header claims is held against the file before any memory is taken.
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
    """Write a table with its index as Parquet, whole or not at all.

    Text that is no Unicode, such as some files' names, has no place there and is written as bytes.
    """
    with write_atomically(path) as temporary:
        _with_text(table, encode=True).to_parquet(temporary)


def _with_text(table: "pd.DataFrame", encode: bool) -> "pd.DataFrame":
    """Return a table with text that is no Unicode as bytes, or with such bytes as text again."""
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

    # pandas makes its own text of what it is not told to leave as it is.
    table = table.copy(deep=False)
    for i in range(table.shape[1]):
        if (cells := changed(table.iloc[:, i])) is not None:
            table.isetitem(i, pd.Series(cells, table.index, dtype=object))  # type: ignore[arg-type]
    if (cells := changed(table.index)) is not None:
        table.index = pd.Index(cells, dtype=object, name=table.index.name)
    return table


def csv_text(table: "pd.DataFrame", index: bool = False) -> str:
    """Return a table as CSV, all names quoted: pandas leaves a lone carriage return bare."""
    text: str = table.to_csv(index=index, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    return text


FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


def write_csv(path: Path, table: "pd.DataFrame", index: bool = True) -> None:
    """Write a table for people as CSV, whole or not at all; it is not for reading back.

    A name that a spreadsheet would take for a formula gets an apostrophe in front, and bytes that
    are no Unicode are written as escapes.

    References
    ----------
    OWASP: CSV injection.
    """
    from pandas.api.types import is_numeric_dtype

    def harmless(cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        text = cell.encode(errors="backslashreplace").decode()
        return f"'{text}" if FORMULA.match(text) else text

    safe = table.rename(index=harmless, columns=harmless)
    for i, kind in enumerate(table.dtypes):
        if not is_numeric_dtype(kind):
            safe.isetitem(i, table.iloc[:, i].map(harmless).to_numpy(object))
    with write_atomically(path) as temporary:
        temporary.write_text(csv_text(safe, index), encoding="utf-8", newline="\n")


def load_table(path: Path) -> "pd.DataFrame":
    """Read a table written by `save_table`, every name and number as it was.

    Raises
    ------
    CacheError
        When the file is not a table.
    """
    import pandas as pd
    from pyarrow import ArrowException

    try:
        with open(path, "rb") as file:  # of a folder, pandas would read all that is in it
            table = pd.read_parquet(file)
        return _with_text(table, encode=False)
    except (ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"{path} is not a table: delete it to have it made again.") from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Types beyond scikit-learn's own, which skops trusts already, that our models are made of.
TRUSTED_TYPES: tuple[str, ...] = (
    "caltech_lab.classification.svm.CalibratedSVM",
    "caltech_lab.classification.svm.PowerNormalizer",
    "caltech_lab.studies.vectors.projections.PartialWhitener",
    "caltech_lab.studies.vectors.projections.PosteriorProjection",
    "caltech_lab.studies.vectors.projections.ProxyProjection",
    "caltech_lab.studies.vectors.projections.WithinClassWhitener",
    "numpy.round",
    "sklearn.tree._tree.Tree",
)
MAX_MODEL_BYTES = 4 * 2**30  # unpacked; the forest of 9,144 photos has 0.8 GB


def save_model(path: Path, model: "BaseEstimator") -> None:
    """Write a fitted scikit-learn estimator with skops, whole or not at all."""
    import zipfile

    import skops.io

    with write_atomically(path) as temporary:
        # Lightly compressed: a forest of 780 MB becomes 40 MB, in no more time.
        skops.io.dump(model, temporary, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def load_model(path: Path) -> Any:
    """Read an estimator written by `save_model`, without ever unpickling.

    Raises
    ------
    CacheError
        When the file holds types that a model of ours never has, unpacks to more than
        `MAX_MODEL_BYTES`, or is damaged.

    References
    ----------
    skops documentation, "Secure persistence with skops".
    """
    import zipfile

    import skops.io

    try:
        with zipfile.ZipFile(path) as archive:  # reads no more of an entry than is stated here
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_MODEL_BYTES:
            raise CacheError(
                f"{path} unpacks to {size / 2**30:,.1f} GiB, more than any model of ours: delete "
                "it to have the model fitted again."
            )
        strange = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
        if strange:
            raise CacheError(
                f"{path} holds types that are not trusted ({', '.join(sorted(strange))}): "
                "delete it to have the model fitted again."
            )
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except (
        zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, EOFError, MemoryError,
    ) as error:  # fmt: skip
        raise CacheError(f"{path} is damaged: delete it to have the model fitted again.") from error


def set_aside(path: Path) -> Path:
    """Rename what is damaged or foreign to `<name>.damaged`, or a free name like it; return that.

    Nothing is lost: what was set aside before stays.
    """
    names = (f"{path.name}.damaged{number}" for number in ("", *map("-{}".format, range(2, 1000))))
    aside = next(place for name in names if not os.path.lexists(place := path.with_name(name)))
    path.rename(aside)
    return aside


def make_way(path: Path) -> None:
    """Set aside a folder that lies where a file of the cache goes, and say so."""
    if path.is_dir():
        print(f"{path} is a folder where a file belongs: it is kept as {set_aside(path).name}.")


def lock(path: Path) -> FileLock:
    """Return a lock beside `path`, so that two kernels take turns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.lock").touch()
    except OSError as error:
        raise explain(error, path) from error
    return FileLock(path.with_name(f".{path.name}.lock"))
