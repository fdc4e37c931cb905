"""Export of embeddings, clusters and search results to files for other programs."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.errors import ArgumentError
from caltech_lab.storage.arrays import save_array
from caltech_lab.storage.files import valid_unicode, write_atomically
from caltech_lab.storage.tables import write_csv

FORMATS = ("parquet", "npy", "projector")


def export(
    embeddings: Embeddings, kind: str, folder: Path, components: int | None = None
) -> list[Path]:
    """Write embeddings with their labels and paths.

    Parameters
    ----------
    embeddings : Embeddings
        The embeddings to write.
    kind : {"parquet", "npy", "projector"}
        See `write_parquet`, `write_npy` and `write_projector`.
    folder : Path
        The output folder.
    components : int, optional
        Number of principal components to write instead of all dimensions; only for the projector.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ArgumentError
        When the format does not exist, or `components` is given for another format or is out of
        range.
    """
    if kind not in FORMATS:
        raise ArgumentError(f"There is no format {kind!r}: choose one of {', '.join(FORMATS)}.")
    if components is not None and kind != "projector":
        raise ArgumentError("Components are for the projector; the other formats hold all numbers.")
    if kind == "parquet":
        return [write_parquet(embeddings, folder / "embeddings.parquet")]
    if kind == "npy":
        return write_npy(embeddings, folder)
    return write_projector(embeddings, folder, components)


def write_parquet(embeddings: Embeddings, path: Path) -> Path:
    """Write one Parquet file, readable by pandas, Polars, DuckDB and others.

    Parameters
    ----------
    embeddings : Embeddings
        The embeddings to write.
    path : Path
        The file, with one row per photo: ``path``, ``category``, ``sha256`` (strings; bytes of a
        name that are not valid Unicode are escaped) and ``embedding`` (lists of float32, all of
        the same length).

    Returns
    -------
    Path
        The same path. ``Embeddings.from_frame(pandas.read_parquet(path))`` reads it back.
    """
    table = embeddings.photos.table.assign(sha256=embeddings.photos.sha256)
    n, d = embeddings.X.shape
    numbers = pa.array(np.ascontiguousarray(embeddings.X).ravel())
    columns = {
        name: pa.array([valid_unicode(text) for text in table[name]], pa.string())
        for name in ("path", "category", "sha256")
    }
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(numbers, d)
    attributes = {"name": embeddings.photos.name, "identity": embeddings.identity}
    # pandas reads the value of this key into the attrs of the frame.
    metadata = {"PANDAS_ATTRS": json.dumps(attributes), "n_photos": str(n)}
    with write_atomically(path) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), temporary)
    return path


def write_npy(embeddings: Embeddings, folder: Path) -> list[Path]:
    """Write the matrix as ``embeddings.npy`` and the photos of its rows as ``photos.csv``.

    Parameters
    ----------
    embeddings : Embeddings
        The embeddings to write.
    folder : Path
        The output folder: ``embeddings.npy`` is float32 of shape (n, d); ``photos.csv`` has
        ``path``, ``category``, ``label`` (int, -1 for none) and ``sha256``, in the same order.
        Some names in it may be escaped (see `write_csv`); Parquet has the exact names.

    Returns
    -------
    list of Path
        The two files.
    """
    paths = [folder / "embeddings.npy", folder / "photos.csv"]
    save_array(paths[0], embeddings.X)
    table = embeddings.photos.table.assign(sha256=embeddings.photos.sha256, label=embeddings.y)
    write_csv(paths[1], table[["path", "category", "label", "sha256"]], index=False)
    return paths


def write_projector(
    embeddings: Embeddings, folder: Path, components: int | None = None
) -> list[Path]:
    """Write the two files that the TensorFlow embedding projector loads.

    Parameters
    ----------
    embeddings : Embeddings
        The embeddings to write.
    folder : Path
        The output folder: ``vectors.tsv`` has one row per photo and no header, and
        ``metadata.tsv`` has the columns ``category`` and ``path``.
    components : int, optional
        Number of principal components to write, 2 to min(n, d), which makes the file smaller; all
        dimensions by default.

    Returns
    -------
    list of Path
        The two files.

    References
    ----------
    D. Smilkov et al.: Embedding projector: interactive visualization and interpretation of
    embeddings. arXiv:1611.05469, 2016.
    """
    X = embeddings.X
    if components is not None:
        if not 2 <= components <= (most := min(X.shape)):
            fault = "few: the projector needs 2"
            if components > most:
                fault = f"many: {len(X):,} embeddings of {X.shape[1]:,} dimensions have {most:,}"
            raise ArgumentError(f"{components} components are too {fault}.")
        from sklearn.decomposition import PCA  # takes a second

        X = PCA(components, random_state=0).fit_transform(X)
    paths = [folder / "vectors.tsv", folder / "metadata.tsv"]
    with write_atomically(paths[0]) as temporary:
        np.savetxt(temporary, X, fmt="%.6g", delimiter="\t")
    table = embeddings.photos.table[["category", "path"]]
    # The projector does not support quotes: a tab or a newline in a name would end the cell.
    table = table.replace(r"\s", " ", regex=True)
    with write_atomically(paths[1]) as temporary:
        lines = ["\t".join(row) for row in [tuple(table), *table.itertuples(index=False)]]
        text = "\n".join(lines) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return paths


def write_clusters(path: Path, embeddings: Embeddings, clusters: NDArray[np.int64]) -> Path:
    """Write ``path``, ``category`` and ``cluster`` of each photo as CSV.

    Parameters
    ----------
    path : Path
        The file.
    embeddings : Embeddings
        The n photos.
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.

    Returns
    -------
    Path
        The same path.
    """
    table = embeddings.photos.table[["path", "category"]].assign(cluster=clusters)
    write_csv(path, table, index=False)
    return path


def results_table(
    queries: Sequence[str],
    embeddings: Embeddings,
    ids: Sequence[NDArray[np.int64]],
    similarities: Sequence[NDArray[np.float32]],
) -> pd.DataFrame:
    """Return the results of queries as a table.

    Parameters
    ----------
    queries : sequence of str
        Names of the q queries.
    embeddings : Embeddings
        The gallery.
    ids, similarities : sequence of ndarray, shape (k,)
        For each query, the gallery rows of the results, the best first, and their cosine
        similarities.

    Returns
    -------
    DataFrame
        One row per result: ``query``, ``rank`` (from 1), ``path``, ``category``, ``similarity``.
    """
    found, rows = embeddings.photos.table, np.concatenate(ids)
    counts = [len(one) for one in ids]
    asked = np.repeat(np.array(queries, dtype=object), counts)
    return pd.DataFrame(
        {
            # dtype object, because pandas' own strings must be valid Unicode.
            "query": pd.Series(asked, dtype=object),
            "rank": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "path": found["path"].iloc[rows].reset_index(drop=True),
            "category": found["category"].iloc[rows].reset_index(drop=True),
            "similarity": np.concatenate(similarities).astype(np.float64).round(6),
        }
    )


def write_results(path: Path, table: pd.DataFrame) -> Path:
    """Write a table of results as CSV.

    Parameters
    ----------
    path : Path
        File to write.
    table : DataFrame
        From `results_table`.

    Returns
    -------
    Path
        The same path.
    """
    write_csv(path, table, index=False)
    return path
