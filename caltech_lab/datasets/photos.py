"""`Photos`: a table with one row per photo, and the folder of the files."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from caltech_lab.errors import DatasetError
from caltech_lab.storage.files import sha256_of
from caltech_lab.storage.progress import progress
from caltech_lab.storage.threads import map_ahead


@dataclass(frozen=True)
class Photos:
    """The photos of a dataset, without their pixels.

    Parameters
    ----------
    name : str
        Name of the set; its artifacts are in `outputs/<name>/`.
    root : Path
        The folder that the paths are relative to.
    table : DataFrame
        One row per photo, indexed 0 to n-1: `path` (relative to `root`, with `/`), `category`
        (empty for a photo without a label) and, if already known, `sha256` (of the file's bytes,
        in hexadecimal digits; empty when the file cannot be read).
    origin : str
        One sentence on where the photos come from.
    """

    name: str
    root: Path
    table: pd.DataFrame
    origin: str = ""

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.table)

    @cached_property
    def categories(self) -> list[str]:
        """Names of the categories, sorted alphabetically regardless of case."""
        names = set(self.table["category"]) - {""}
        return sorted(names, key=lambda name: (name.lower(), name))

    @cached_property
    def labels(self) -> np.ndarray:
        """Each photo's category as an index into `categories`, int64 of shape (n,); -1 for none."""
        codes = pd.Index(self.categories, dtype=object).get_indexer(
            pd.Index(self.table["category"])
        )
        return codes.astype(np.int64)

    @property
    def labeled(self) -> bool:
        """Whether every photo has a category."""
        return bool((self.table["category"] != "").all())

    def check_labels(self, what: str) -> None:
        """Raise a `DatasetError` that says why `what` cannot be done, unless `labeled`.

        Parameters
        ----------
        what : str
            The task that needs categories, as the start of a sentence: "Training a classifier".
        """
        if not self.labeled:
            raise DatasetError(
                f"{what} needs categories, and {self.root.name} has none: sort the photos into "
                "one sub-folder per category (clustering and retrieval work without)."
            )

    @cached_property
    def counts(self) -> "pd.Series[int]":
        """Number of photos per category, in the order of `categories`."""
        return self.table["category"].value_counts().reindex(self.categories)

    def file(self, i: int) -> Path:
        """Return the path of photo `i`."""
        return self.root / str(self.table["path"].iat[i])

    @cached_property
    def sha256(self) -> list[str]:
        """The sha256 of each file, in hexadecimal digits; empty if a file cannot be read."""
        if "sha256" in self.table:
            return self.table["sha256"].tolist()
        return hash_files([self.file(i) for i in range(len(self))])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the paths, categories and bytes of all photos, which identifies the set."""
        rows = zip(self.table["path"], self.table["category"], self.sha256, strict=True)
        text = "\n".join(map(_line, rows))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def subset(self, rows: np.ndarray, name: str | None = None) -> "Photos":
        """Return the photos selected by a boolean mask or by indices.

        Parameters
        ----------
        rows : ndarray
            Boolean of shape (n,), or int of any length.
        name : str, optional
            Name of the new set; the same name by default.

        Returns
        -------
        Photos
            The selected photos, in the order of `rows`, with their hashes.
        """
        table = self.table.assign(sha256=self.sha256)
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        chosen = table.iloc[index].reset_index(drop=True)
        return Photos(name or self.name, self.root, chosen, self.origin)


def _line(row: tuple[str, ...]) -> str:
    """Join the fields of a row to a line that no other rows can produce."""
    line = "\t".join(row)
    if line.count("\t") == len(row) - 1 and "\n" not in line:
        return line
    return json.dumps(row)  # contains neither tabs nor line breaks


def hash_files(files: list[Path], desc: str | None = None) -> list[str]:
    """Return the sha256 of each file, or an empty string if it cannot be read.

    Parameters
    ----------
    files : list of Path
        Files to read, in several threads.
    desc : str, optional
        Title of the progress bar; without a title, no bar is shown.

    Returns
    -------
    list of str
        Hexadecimal hashes, in the order of `files`.
    """

    def digest(path: Path) -> str:
        try:
            return sha256_of(path)
        except OSError:
            return ""

    digests = map_ahead(digest, files)
    return list(progress(digests, total=len(files), desc=desc, disable=desc is None))
