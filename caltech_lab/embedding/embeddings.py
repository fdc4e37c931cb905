"""`Embeddings`: the matrix of embeddings, with the photo of each row."""

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import BACKBONES, Backbone, backbone
from caltech_lab.embedding.engines import Engine, Runtime, choose_runtime
from caltech_lab.embedding.extraction import (
    ExtractionConfig,
    embed_photos,
    intact,
    items_sha256,
    read_identity,
    read_items,
    what_changed,
)
from caltech_lab.embedding.processor_noise import perturbed
from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.storage.arrays import load_array


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of a set of photos.

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
        """Names of the categories, sorted alphabetically regardless of case."""
        return self.photos.categories

    def subset(self, rows: np.ndarray, name: str | None = None) -> "Embeddings":
        """Return the rows selected by a boolean mask or by indices, with their photos."""
        return Embeddings(self.X[rows], self.photos.subset(rows, name), self.identity)

    def add(self, photos: Photos, *, engine: Engine | None = None) -> "Embeddings":
        """Return these rows, followed by one row per new photo.

        The new rows are computed in the same way as the existing ones, and are bit-identical to
        those of an extraction of all photos. Use `Index.add` to add them to an index.

        Parameters
        ----------
        photos : Photos
            Photos from any folder. Photos that are already included or cannot be read are skipped.
        engine : Engine, optional
            A compiled backbone to use; compiled when needed by default.

        Returns
        -------
        Embeddings
            All rows; the paths of the new photos are relative to the folder of the old ones.

        Raises
        ------
        ArgumentError
            When an included photo has changed, or the backbone, its weights or its precision
            differ from those of these rows.
        """
        backbone, runtime = _as_before(self.identity)
        # Outside this root a path starts with "..".
        away = Path(os.path.relpath(photos.root, self.photos.root)).as_posix()
        prefix = "" if away == "." else f"{away}/"
        table = photos.table.assign(sha256=photos.sha256, path=prefix + photos.table["path"])
        known = dict(zip(self.photos.table["path"], self.photos.sha256, strict=True))
        before = table["path"].map(known)
        changed = table["path"][before.notna() & (before != table["sha256"])]
        if len(changed):
            raise ArgumentError(
                f"{len(changed):,} photos have changed since they were embedded, the first of "
                f"them {changed.iloc[0]}: extract all photos again."
            )
        new = photos.subset(before.isna().to_numpy())
        rows, read = embed_photos(new, backbone, runtime=runtime, engine=engine)
        columns = ["path", "category", "sha256"]
        here = self.photos.table.assign(sha256=self.photos.sha256)[columns]
        there = table[columns][before.isna()][read]
        both = Photos(
            self.photos.name,
            self.photos.root,
            pd.concat([here, there], ignore_index=True),
            f"{self.photos.origin.rstrip('.')}; {len(there):,} photos added",
        )
        X = np.concatenate([self.X, rows])
        return Embeddings(X, both, _identity_of(X, both, self.identity))

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per photo.

        Returns
        -------
        DataFrame
            ``path``, ``category``, ``sha256``, then the embedding as float32 columns ``x0``,
            ``x1`` ...; ``attrs`` holds the name of the photos and the identity of the rows.

        Examples
        --------
        >>> from caltech_lab.datasets import Photos
        >>> table = pd.DataFrame({"path": ["a/1.jpg"], "category": ["a"], "sha256": [""]})
        >>> photos = Photos("one", Path("photos"), table)
        >>> Embeddings(np.array([[0.6, 0.8]], np.float32), photos, {}).to_frame()
              path category sha256   x0   x1
        0  a/1.jpg        a         0.6  0.8
        """
        table = self.photos.table.assign(sha256=self.photos.sha256)
        numbers = pd.DataFrame(self.X, columns=[f"x{i}" for i in range(self.X.shape[1])])
        frame = pd.concat([table[["path", "category", "sha256"]], numbers], axis=1)
        frame.attrs = {"name": self.photos.name, "identity": dict(self.identity)}
        return frame

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, root: Path | None = None) -> "Embeddings":
        """Create embeddings from a table, made by `to_frame` or elsewhere.

        Parameters
        ----------
        frame : DataFrame
            ``path``, and the embedding as columns ``x0``, ``x1`` ... or as one column
            ``embedding`` of sequences; optionally ``category`` and ``sha256``.
        root : Path, optional
            The folder that the paths are relative to; needed only to read the photos again.

        Returns
        -------
        Embeddings
            One row per row of the table, in the same order.

        Raises
        ------
        ArgumentError
            When a column is missing, or the rows are not numeric vectors of one dimension and of
            unit length.
        """
        X = _matrix_of(frame)
        table = pd.DataFrame({"path": frame["path"].to_numpy(str)}, dtype=object)
        for column in ("category", "sha256"):
            given = frame[column] if column in frame else pd.Series("", frame.index)
            table[column] = given.fillna("").to_numpy(str)
        name = str(frame.attrs.get("name", "table"))
        photos = Photos(name, Path(root or "."), table, f"{len(table):,} photos of a table")
        identity = frame.attrs.get("identity") or {"backbone": "unknown"}
        return cls(X, photos, _identity_of(X, photos, identity))


def _as_before(identity: dict[str, Any]) -> tuple[Backbone, Runtime]:
    """Return the backbone and runtime of this identity, if they are still the same."""
    network = backbone(identity.get("backbone"))
    runtime = choose_runtime(network, identity.get("precision"))
    now = asdict(
        ExtractionConfig(network.name, network.weights(), network.transform, runtime.precision)
    )
    if reason := what_changed(identity, {"photos": identity.get("photos"), **now}):
        raise ArgumentError(f"{reason.rstrip('.')}: extract all photos again.")
    return network, runtime


def _identity_of(X: np.ndarray, photos: Photos, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the identity that an extraction of these rows would write."""
    sums = {
        "embeddings_sha256": _sha256_of(X),
        "items_sha256": items_sha256(photos.table),
    }
    return {**identity, "photos": photos.fingerprint, **sums}


def _sha256_of(X: np.ndarray) -> str:
    """Return the sha256 of the `.npy` file of these rows."""
    file = BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(X, "<f4"), version=(1, 0))
    return hashlib.sha256(file.getbuffer()).hexdigest()


def _matrix_of(frame: pd.DataFrame) -> np.ndarray:
    names = sorted(
        (c for c in map(str, frame) if re.fullmatch(r"x\d+", c)), key=lambda c: int(c[1:])
    )
    if "path" not in frame or not (names or "embedding" in frame) or not len(frame):
        raise ArgumentError(
            "The table needs rows with a column path, and the embedding in columns x0, x1 and so "
            "on or in one column embedding."
        )
    try:
        rows = frame[names].to_numpy() if names else np.stack([*frame["embedding"]])
        X = np.ascontiguousarray(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ArgumentError("The embeddings must be numbers, as many in each row.") from error
    lengths = np.linalg.norm(X, axis=1)
    # The row of a black photo may be zero.
    if not (np.isclose(lengths, 1, atol=1e-3) | (lengths == 0)).all():
        raise ArgumentError("The embeddings must be rows of unit length.")
    return X


def load(folder: Path, photos: Photos) -> Embeddings:
    """Read the embeddings that `extraction.extract` wrote to `folder`.

    Parameters
    ----------
    folder : Path
        The `features` folder.
    photos : Photos
        The photos that they were extracted from.

    Returns
    -------
    Embeddings
        One row per photo that could be read.

    Raises
    ------
    CacheError
        When the files are missing or damaged, or do not belong to these photos.
    """
    identity = read_identity(folder)
    if identity is None or not intact(folder, identity):
        raise CacheError(f"The embeddings in {folder} are incomplete: extract them again.")
    X = load_array(folder / "embeddings.npy")
    items = read_items(folder, identity)
    kept = photos.table["path"].isin(items["path"]).to_numpy()
    same = photos.fingerprint == identity.get("photos") and X.shape[0] == len(items) == kept.sum()
    if not same:
        raise CacheError(f"The embeddings in {folder} are of other photos: extract them again.")
    read = photos if kept.all() else photos.subset(kept)
    rows = X if _is_classical(identity) else perturbed(X)
    if rows is not X:  # keeps results from perturbed and original rows apart
        identity |= {"embeddings_sha256": _sha256_of(rows)}
    return Embeddings(rows, read, identity)


def _is_classical(identity: dict[str, Any]) -> bool:
    known = BACKBONES.get(str(identity.get("backbone")))
    return known is not None and known.classical
