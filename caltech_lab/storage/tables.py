"""Tables: Parquet for those that are read back, CSV for people."""

import csv
import re
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype
from pyarrow import ArrowException

from caltech_lab.errors import CacheError
from caltech_lab.storage.files import valid_unicode, write_atomically

FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table with its index atomically as Parquet.

    Parquet strings must be valid Unicode, so text that is not, such as some file names, is stored
    as bytes.
    """
    with write_atomically(path) as temporary:
        _with_text(table, encode=True).to_parquet(temporary)


def _with_text(table: pd.DataFrame, encode: bool) -> pd.DataFrame:
    """Return a table with invalid Unicode encoded as bytes, or decode such bytes to text."""

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


def load_table(path: Path) -> pd.DataFrame:
    """Read a table written by `save_table`, with all values unchanged.

    Raises
    ------
    CacheError
        When the file is not a table.
    """
    try:
        with open(path, "rb") as file:  # given a folder, pandas would read all files in it
            table = pd.read_parquet(file)
        return _with_text(table, encode=False)
    except (ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"{path} is not a table: delete it to have it made again.") from error


def csv_text(table: pd.DataFrame, index: bool = False) -> str:
    """Return a table as CSV with all text quoted, as pandas does not quote a carriage return.

    Parameters
    ----------
    table : DataFrame
        The table.
    index : bool
        Whether its index is the first column.

    Returns
    -------
    str
        Lines that end in a line feed.
    """
    text: str = table.to_csv(index=index, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    return text


def write_csv(path: Path, table: pd.DataFrame, index: bool = True) -> None:
    """Write a table atomically as CSV for people; it is not meant to be read back.

    A name that a spreadsheet would interpret as a formula gets a leading apostrophe, and bytes
    that are not valid Unicode are escaped.

    Parameters
    ----------
    path : Path
        File to write, in UTF-8.
    table : DataFrame
        The table.
    index : bool
        Whether its index is the first column.

    Raises
    ------
    CacheError
        When the file cannot be written.

    References
    ----------
    OWASP: CSV injection.
    """

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
