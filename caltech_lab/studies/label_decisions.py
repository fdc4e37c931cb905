"""A person's decisions about labels that may be wrong.

Only a person can decide whether a label is wrong, so decisions are stored separately, and no photo
or folder is changed.
"""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.storage.files import lock, set_aside, write_atomically
from caltech_lab.storage.tables import csv_text

Ints = NDArray[np.int64]

Decision = Literal["keep", "relabel", "drop"]
COLUMNS = ["path", "category", "decision", "label"]


class Decisions:
    """Decisions about labels, in a CSV file that is written atomically after each decision.

    Rows are identified by the sha256 of the photo, so that a moved photo keeps its decision. A lock
    protects the file when several processes write to it.

    Parameters
    ----------
    path : Path
        The file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def table(self) -> pd.DataFrame:
        """Read the decisions.

        Returns
        -------
        DataFrame
            Indexed by ``sha256``: ``path``, ``category`` (the original label), ``decision`` (keep,
            relabel or drop) and ``label`` (the label to use; the original unless relabeled).

        Raises
        ------
        CacheError
            When a decision is not understood; the file is not changed. A file that is not a table
            of decisions is set aside, and never lost.
        """
        nothing = pd.DataFrame(columns=COLUMNS, index=pd.Index([], name="sha256"), dtype=object)
        if not self.path.exists():
            return nothing
        try:
            if b"\0" in self.path.read_bytes():
                raise ValueError("no text has zeros in it")
            table = pd.read_csv(
                self.path, dtype=object, keep_default_na=False, encoding_errors="surrogateescape"
            )
            table = table.set_index("sha256")[COLUMNS]
        except (ValueError, KeyError, IsADirectoryError):
            aside = set_aside(self.path).name
            print(f"{self.path} is not a table of decisions: it is renamed to {aside}.")
            return nothing
        if not set(table["decision"]) <= {*get_args(Decision)} or table.index.has_duplicates:
            raise CacheError(
                f"{self.path} has decisions other than keep, relabel and drop, or two for the same "
                "photo: fix it, or move it away to start a new one."
            )
        return table.astype(object)

    def decide(
        self, embeddings: Embeddings, row: int, decision: Decision | None, label: str | None = None
    ) -> None:
        """Save the decision about a photo, replacing any earlier decision.

        Parameters
        ----------
        embeddings : Embeddings
            All photos.
        row : int
            Row of the photo.
        decision : {"keep", "relabel", "drop"}, optional
            None removes the decision.
        label : str, optional
            The correct category; required to relabel, otherwise ignored.

        Raises
        ------
        ArgumentError
            When the decision does not exist, or the label is missing or not a category.
        CacheError
            When the file cannot be read or written; it is not changed.
        """
        if decision not in (None, *get_args(Decision)):
            raise ArgumentError(f"The decision must be keep, relabel or drop, not {decision!r}.")
        category = str(embeddings.photos.table["category"].iat[row])
        if decision == "relabel" and label not in embeddings.categories:
            raise ArgumentError(f"Relabeling needs one of the categories, not {label!r}.")
        sha, path = embeddings.photos.sha256[row], str(embeddings.photos.table["path"].iat[row])
        with lock(self.path):
            table = self.table().drop(index=sha, errors="ignore")
            if decision is not None:
                new = label if decision == "relabel" else category
                table.loc[sha] = [path, category, decision, new]
            with write_atomically(self.path) as temporary:  # names as they are: it is read back
                text = csv_text(table.rename_axis("sha256"), index=True)
                temporary.write_bytes(text.encode("utf-8", "surrogateescape"))

    def apply(self, embeddings: Embeddings, rows: Ints) -> tuple[Ints, Ints]:
        """Apply the decisions: return the rows that are not dropped, and their labels.

        Parameters
        ----------
        embeddings : Embeddings
            All photos; they are not changed.
        rows : ndarray of int64, shape (n,)
            Some of them, such as the training set.

        Returns
        -------
        rows, y : ndarray of int64, shape (m,)
            Remaining rows, and their labels.
        """
        table = self.table()
        sha = pd.Index([embeddings.photos.sha256[i] for i in rows])
        decision = table["decision"].reindex(sha).to_numpy()
        label = pd.Index(embeddings.categories).get_indexer(pd.Index(table["label"].reindex(sha)))
        y = np.where((decision == "relabel") & (label >= 0), label, embeddings.y[rows])
        kept = decision != "drop"
        return rows[kept], y[kept].astype(np.int64)
