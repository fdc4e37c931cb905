"""Approximate indexes: recall against time per query, from nine thousand vectors to a million.

Times are of the processor and not of the clock, and queries run one by one on one core, so that
other work on the machine counts little.
"""

import time
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
from common import arguments, lab, save
from made import grow, principal_coordinates

from caltech_lab.datasets.splits import split

SIZES = (9_000, 100_000, 1_000_000)
DIMENSIONS = 128
QUERIES = 300
TRAINING = 50_000  # vectors for K-Means in IVF and PQ
M, CODE_BYTES = 16, 32  # edges per vector in HNSW; codes of 8 bits in PQ
EF_SEARCH = (16, 32, 64, 128, 256)
NPROBE = (1, 4, 16, 64, 256)
SHORTLIST = 100  # results of IVF-PQ that are ranked again with the full vectors


def indexes(X: np.ndarray) -> Iterator[tuple[str, Any, Any, dict[str, float]]]:
    """Build the indexes of all vectors, each with what it needs to be searched and its costs."""
    n, d = X.shape
    n_lists = 2 ** round(np.log2(n**0.5))
    metric = faiss.METRIC_INNER_PRODUCT
    flat = faiss.IndexFlatIP(d)
    cells = faiss.IndexFlatIP(d)  # shared, and trained once
    made = {
        "Flat": flat,
        "SQ8": faiss.IndexScalarQuantizer(d, faiss.ScalarQuantizer.QT_8bit, metric),
        "HNSW": faiss.IndexHNSWFlat(d, M, metric),
        "IVF-Flat": faiss.IndexIVFFlat(cells, d, n_lists, metric),
        "IVF-PQ": faiss.IndexIVFPQ(cells, d, n_lists, CODE_BYTES, 8, metric),
    }
    sample = np.sort(np.random.default_rng(0).permutation(n)[:TRAINING])
    for name, index in made.items():
        start = time.process_time()
        index.train(X[sample])
        index.add(X)
        costs = {
            "build_s": time.process_time() - start,
            "bytes_per_vector": faiss.serialize_index(index).size / n,
        }
        if name.startswith("IVF"):
            costs["nlist"] = n_lists
        yield name, index, index, costs
        if name == "IVF-PQ":
            ranked = faiss.IndexRefine(index, flat)
            ranked.k_factor = SHORTLIST / 10
            yield "IVF-PQ, re-ranked", ranked, index, costs


def answers(index: Any, queries: np.ndarray) -> tuple[np.ndarray, float]:
    """Search for queries one by one, and return the results and the median milliseconds."""
    spent, found = [], []
    for query in queries:
        start = time.thread_time()
        found.append(index.search(query[None], 10)[1][0])
        spent.append(time.thread_time() - start)
    return np.array(found), 1e3 * float(np.median(spent))


def curves(coordinates: np.ndarray, queries: np.ndarray, n: int) -> list[dict[str, Any]]:
    """Build each index over n vectors, and measure it at all its settings."""
    X = grow(coordinates, n)
    rows: list[dict[str, Any]] = []
    exact = np.empty(0)
    for name, index, inner, costs in indexes(X):
        settings: list[tuple[str, Any]] = [("", None)]
        if name == "HNSW":
            settings = [("efSearch", value) for value in EF_SEARCH]
        if name.startswith("IVF"):
            settings = [("nprobe", value) for value in NPROBE if value <= costs["nlist"]]
        for parameter, value in settings:
            if parameter == "efSearch":
                inner.hnsw.efSearch = value
            elif parameter:
                inner.nprobe = value
            found, ms = answers(index, queries)
            exact = found if name == "Flat" else exact
            right = [np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]
            row = {"n": n, "index": name, "parameter": parameter, "value": value}
            rows.append(row | {"recall": float(np.mean(right)), "query_ms": ms} | costs)
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and save."""
    options = arguments(__doc__)
    faiss.omp_set_num_threads(1)
    features = lab(options.quick).embeddings
    train, test = split(features.y)
    X, dimensions = features.X, 64 if options.quick else DIMENSIONS
    coordinates, queries = principal_coordinates(X[train], X[test], dimensions)
    random = np.random.default_rng(0)
    queries = queries[random.choice(len(queries), min(QUERIES, len(queries)), replace=False)]
    sizes = (2_000,) if options.quick else SIZES
    rows = [row for n in sizes for row in curves(coordinates, queries, n)]
    results = {
        "dimensions": dimensions, "queries": len(queries), "real": len(coordinates), "M": M,
        "code_bytes": CODE_BYTES, "shortlist": SHORTLIST, "rows": rows,
    }  # fmt: skip
    save("search", results, options.quick)


if __name__ == "__main__":
    main()
