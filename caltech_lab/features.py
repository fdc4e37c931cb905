"""`Features`: the matrix of embeddings, with the photos that its rows stand for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caltech_lab.datasets.photos import Photos
from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.extraction import intact, read_identity
from caltech_lab.files import load_array

TEST_SHARE = 0.2


@dataclass(frozen=True)
class Features:
    """Embeddings and what they belong to.

    Parameters
    ----------
    X : ndarray
        float32 of shape (n, d), rows of unit length.
    photos : Photos
        The photo of each row.
    identity : dict
        What the rows were made from; see `extraction.extract`.
    """

    X: np.ndarray
    photos: Photos
    identity: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    @property
    def y(self) -> np.ndarray:
        """Each row's category as an index into `categories`, int64 of shape (n,)."""
        return self.photos.labels

    @property
    def categories(self) -> list[str]:
        """The names of the categories, alphabetical whatever their case."""
        return self.photos.categories

    def subset(self, rows: np.ndarray, name: str | None = None) -> "Features":
        """Return the rows chosen by a boolean mask or by indices, with their photos."""
        return Features(self.X[rows], self.photos.subset(rows, name), self.identity)

    def split(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Split the rows 80/20; see `split`."""
        return split(self.y, seed)


def split(y: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into 80 % for training and 20 % held out, each category in proportion.

    Parameters
    ----------
    y : ndarray
        Labels, int of shape (n,).
    seed : int
        Another seed gives another split.

    Returns
    -------
    train, test : ndarray
        Indices, sorted, without overlap, together all rows.

    Raises
    ------
    ArgumentError
        When a category has a single photo, or there are too few photos to hold any out.
    """
    from sklearn.model_selection import train_test_split

    counts = np.bincount(y)
    if (counts == 1).any() or len(y) * TEST_SHARE < (counts > 0).sum():
        raise ArgumentError(
            "A split needs at least two photos in each category, and five on average: "
            "add photos, or leave the smallest categories out."
        )
    train, test = train_test_split(
        np.arange(len(y)), test_size=TEST_SHARE, random_state=seed, stratify=y
    )
    return np.sort(train), np.sort(test)


def load(folder: Path, photos: Photos) -> Features:
    """Read the embeddings that `extraction.extract` left in `folder`.

    Parameters
    ----------
    folder : Path
        The `features` folder.
    photos : Photos
        What they were extracted from.

    Returns
    -------
    Features
        One row for each photo that could be read.

    Raises
    ------
    CacheError
        When the files are missing, damaged, or do not belong to these photos.
    """
    identity = read_identity(folder)
    if identity is None or not intact(folder, identity):
        raise CacheError(f"The embeddings in {folder} are incomplete: extract them again.")
    X = load_array(folder / "embeddings.npy")
    items = pd.read_csv(folder / "items.csv", dtype=str, keep_default_na=False)
    kept = photos.table["path"].isin(items["path"]).to_numpy()
    same = photos.fingerprint == identity.get("photos") and X.shape[0] == len(items) == kept.sum()
    if not same:
        raise CacheError(f"The embeddings in {folder} are of other photos: extract them again.")
    return Features(X, photos if kept.all() else photos.subset(kept), identity)
