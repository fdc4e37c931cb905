"""Approximate indexes against the exact one."""

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
    """Measure indexes of the same photos against the first of them, with a progress bar.

    The indexes take turns, so that what else the machine does hits them alike, and the medians
    over the rounds are told.

    Parameters
    ----------
    indexes : mapping of str to Index
        By name, the exact one first; `Index.from_faiss` wraps the others.
    queries : ndarray of float32, shape (q, d)
        What to look up, in one batch and then the first 20 one by one.
    k : int
        Number of answers.
    rounds : int
        How often each index is timed.

    Returns
    -------
    DataFrame
        One row an index: ``recall``, the share of the exact k answers that it gives too;
        ``single_ms`` and ``batch_ms``, milliseconds a query one by one and in a batch; and
        ``bytes``, what the saved index takes for each photo.
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
