"""Compare approximate indexes with the exact index: recall, latency and size."""

import time
from collections.abc import Mapping

import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caltech_lab.retrieval.index import Index
from caltech_lab.storage.progress import progress


def compare_indexes(
    indexes: Mapping[str, Index], queries: NDArray[np.float32], k: int = 10, rounds: int = 5
) -> pd.DataFrame:
    """Compare indexes of the same photos with the first of them, with a progress bar.

    The indexes are timed in turn, so that other load affects all of them equally; times are
    medians over the rounds.

    Parameters
    ----------
    indexes : mapping of str to Index
        By name, the exact one first; `Index.from_faiss` wraps the others.
    queries : ndarray of float32, shape (q, d)
        Queries: the first 20 are timed one by one, then all in one batch.
    k : int
        Number of results per query.
    rounds : int
        Number of times each index is timed.

    Returns
    -------
    DataFrame
        One row per index: ``recall``, the share of the exact k results that it finds;
        ``single_ms`` and ``batch_ms``, milliseconds per query one by one and in a batch; and
        ``bytes``, the size of the saved index per photo.
    """
    exact = next(iter(indexes.values())).search(queries, k)[1]
    rows = {}
    for name, index in indexes.items():
        found = index.search(queries, k)[1]
        common = sum(np.intersect1d(a, b).size for a, b in zip(exact, found, strict=True))
        rows[name] = {
            "recall": common / exact.size,
            "bytes": faiss.serialize_index(index.faiss).size / len(index),
        }
    times: list[dict[str, float | str]] = []
    turns = [(name, index) for _ in range(rounds) for name, index in indexes.items()]
    for name, index in progress(turns, desc="Timing", unit="turn"):
        marks = [time.perf_counter()]
        for query in queries[:20]:
            index.search(query, k)
            marks.append(time.perf_counter())
        index.search(queries, k)
        batch = time.perf_counter() - marks[-1]
        single = float(np.median(np.diff(marks)))
        times.append(
            {"name": name, "single_ms": 1e3 * single, "batch_ms": 1e3 * batch / len(queries)}
        )
    medians = pd.DataFrame(times).groupby("name").median()
    return pd.DataFrame(rows).T.join(medians)[["recall", "single_ms", "batch_ms", "bytes"]]
