"""Embeddings, clusters and answers as files that other programs read."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.errors import ArgumentError
from caltech_lab.storage.files import save_array, write_atomically, write_csv

FORMATS = ("parquet", "npy", "projector")


def export(
    features: Embeddings, kind: str, folder: Path, components: int | None = None
) -> list[Path]:
    """Write embeddings with their labels and paths.

    Parameters
    ----------
    features : Embeddings
        What to write.
    kind : {"parquet", "npy", "projector"}
        See `write_parquet`, `write_npy` and `write_projector`.
    folder : Path
        Where to.
    components : int, optional
        Write this many principal components instead of all numbers; for the projector alone.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ArgumentError
        When there is no such format, or `components` is given for another one or out of range.
    """
    if kind not in FORMATS:
        raise ArgumentError(f"There is no format {kind!r}: choose one of {', '.join(FORMATS)}.")
    if components is not None and kind != "projector":
        raise ArgumentError("Components are for the projector; the other formats hold all numbers.")
    if kind == "parquet":
        return [write_parquet(features, folder / "embeddings.parquet")]
    if kind == "npy":
        return write_npy(features, folder)
    return write_projector(features, folder, components)


def write_parquet(features: Embeddings, path: Path) -> Path:
    """Write one Parquet file that pandas, Polars, DuckDB and others read.

    Parameters
    ----------
    features : Embeddings
        What to write.
    path : Path
        The file: ``path``, ``category``, ``sha256`` (strings; of a name, bytes that are no
        Unicode are escaped) and ``embedding`` (lists of float32, all of one length), one row per
        photo.

    Returns
    -------
    Path
        The same path. ``Embeddings.from_frame(pandas.read_parquet(path))`` reads it back.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = features.photos.table.assign(sha256=features.photos.sha256)
    n, d = features.X.shape
    numbers = pa.array(np.ascontiguousarray(features.X).ravel())
    columns = {
        name: pa.array([_unicode(text) for text in table[name]], pa.string())
        for name in ("path", "category", "sha256")
    }
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(numbers, d)
    attributes = {"name": features.photos.name, "identity": features.identity}
    # pandas puts what stands under this key into the attrs of the frame.
    metadata = {"PANDAS_ATTRS": json.dumps(attributes), "n_photos": str(n)}
    with write_atomically(path) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), temporary)
    return path


def _unicode(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def write_npy(features: Embeddings, folder: Path) -> list[Path]:
    """Write the matrix as ``embeddings.npy`` and what its rows are as ``photos.csv``.

    Parameters
    ----------
    features : Embeddings
        What to write.
    folder : Path
        Where to: ``embeddings.npy`` is float32 of shape (n, d); ``photos.csv`` has ``path``,
        ``category``, ``label`` (int, -1 for none) and ``sha256``, in the same order;
        names are for people, see `write_csv`, and Parquet has them exactly.

    Returns
    -------
    list of Path
        The two files.
    """
    paths = [folder / "embeddings.npy", folder / "photos.csv"]
    save_array(paths[0], features.X)
    table = features.photos.table.assign(sha256=features.photos.sha256, label=features.y)
    write_csv(paths[1], table[["path", "category", "label", "sha256"]], index=False)
    return paths


def write_projector(
    features: Embeddings, folder: Path, components: int | None = None
) -> list[Path]:
    """Write the two files that the TensorFlow embedding projector loads.

    Parameters
    ----------
    features : Embeddings
        What to write.
    folder : Path
        Where to: ``vectors.tsv``, one row per photo and no header, and ``metadata.tsv``, with the
        columns ``category`` and ``path``.
    components : int, optional
        Write this many principal components, 2 to min(n, d), which makes the file small; all
        the numbers by default.

    Returns
    -------
    list of Path
        The two files.

    References
    ----------
    D. Smilkov et al.: Embedding projector: interactive visualization and interpretation of
    embeddings. arXiv:1611.05469, 2016.
    """
    X = features.X
    if components is not None:
        if not 2 <= components <= (most := min(X.shape)):
            fault = "few: the projector needs 2"
            if components > most:
                fault = f"many: {len(X):,} embeddings of {X.shape[1]:,} dimensions have {most:,}"
            raise ArgumentError(f"{components} components are too {fault}.")
        from sklearn.decomposition import PCA

        X = PCA(components, random_state=0).fit_transform(X)
    paths = [folder / "vectors.tsv", folder / "metadata.tsv"]
    with write_atomically(paths[0]) as temporary:
        np.savetxt(temporary, X, fmt="%.6g", delimiter="\t")
    table = features.photos.table[["category", "path"]]
    # The projector knows no quotes: a tab or a new line in a name would end the cell.
    table = table.replace(r"\s", " ", regex=True)
    with write_atomically(paths[1]) as temporary:
        lines = ["\t".join(row) for row in [tuple(table), *table.itertuples(index=False)]]
        text = "\n".join(lines) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return paths


def write_clusters(path: Path, features: Embeddings, clusters: NDArray[np.int64]) -> Path:
    """Write ``path``, ``category`` and ``cluster`` of each photo as CSV.

    Parameters
    ----------
    path : Path
        The file.
    features : Embeddings
        The photos, n of them.
    clusters : ndarray of int64, shape (n,)
        Their clusters.
    """
    table = features.photos.table[["path", "category"]].assign(cluster=clusters)
    write_csv(path, table, index=False)
    return path


def answers_table(
    queries: Sequence[str],
    features: Embeddings,
    ids: Sequence[NDArray[np.int64]],
    similarities: Sequence[NDArray[np.float32]],
) -> pd.DataFrame:
    """Return answers to queries as a table.

    Parameters
    ----------
    queries : sequence of str
        What was asked, q of them.
    features : Embeddings
        The gallery.
    ids, similarities : sequence of ndarray, shape (k,)
        For each query the rows of the gallery, the best first, and their cosine similarities.

    Returns
    -------
    DataFrame
        One row per answer: ``query``, ``rank`` (from 1), ``path``, ``category``, ``similarity``.
    """
    found, rows = features.photos.table, np.concatenate(ids)
    counts = [len(answers) for answers in ids]
    asked = np.repeat(np.array(queries, dtype=object), counts)
    return pd.DataFrame(
        {
            # An object, since pandas' own strings take no bytes that are no Unicode.
            "query": pd.Series(asked, dtype=object),
            "rank": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "path": found["path"].iloc[rows].reset_index(drop=True),
            "category": found["category"].iloc[rows].reset_index(drop=True),
            "similarity": np.concatenate(similarities).astype(np.float64).round(6),
        }
    )


def write_answers(path: Path, answers: pd.DataFrame) -> Path:
    """Write a table of `answers_table` as CSV."""
    write_csv(path, answers, index=False)
    return path
