"""Approximate indexes against exact search, from nine thousand vectors to a million."""

import time

import faiss
import numpy as np
from common import arguments, lab, save
from made import grow, principal_coordinates

from caltech_lab.datasets.splits import split
from caltech_lab.retrieval.index import Index

SIZES = (9_000, 100_000, 1_000_000)
DIMENSIONS = 256
QUERIES = 500


def factories(n: int) -> dict[str, str]:
    """Name the indexes that are compared, in the words of `faiss.index_factory`."""
    cells = 2 ** round(np.log2(4 * n**0.5))
    return {
        "Flat": "Flat",
        "SQ8": "SQ8",
        "HNSW": "HNSW32",
        "IVF-Flat": f"IVF{cells},Flat",
        "IVF-PQ": f"IVF{cells},PQ64",
    }


def recall(exact_ids: np.ndarray, ids: np.ndarray) -> float:
    """Return the share of the exact results that are found."""
    common = [np.isin(a, b).mean() for a, b in zip(exact_ids, ids, strict=True)]
    return float(np.mean(common))


def approximate(
    coordinates: np.ndarray, queries: np.ndarray, n: int
) -> dict[str, dict[str, float]]:
    """Build each index over n vectors, and measure it against the exact one."""
    X = grow(coordinates, n)
    own = float(np.mean(neighbors(X, len(coordinates))))
    print(f"{n:,} vectors; {own:.4f} of the neighbors of a photo are of its own copy", flush=True)
    rows: dict[str, dict[str, float]] = {}
    exact_ids = None
    for name, description in factories(n).items():
        index = faiss.index_factory(X.shape[1], description, faiss.METRIC_INNER_PRODUCT)
        if name == "IVF-PQ":
            # `index_factory` asks for codes sorted for Hamming distances: a minute for nothing.
            index.do_polysemous_training = False
        start = time.perf_counter()
        sample = np.random.default_rng(0).permutation(n)[:100_000]
        index.train(X[np.sort(sample)])
        index.add(X)
        built = time.perf_counter() - start
        if name.startswith("IVF"):
            index.nprobe = 16
        if name == "HNSW":
            index.hnsw.efSearch = 64
        marks, ids_found = [time.perf_counter()], []
        for query in queries:
            ids_found.append(index.search(query[None], 10)[1])
            marks.append(time.perf_counter())
        ids = np.concatenate(ids_found)
        exact_ids = ids if exact_ids is None else exact_ids
        rows[name] = {
            "recall": recall(exact_ids, ids),
            "query_ms": 1e3 * float(np.median(np.diff(marks))),
            "build_s": built,
            "bytes_per_vector": faiss.serialize_index(index).size / n,
        }
        print(
            f"  {name:10}", {key: round(value, 4) for key, value in rows[name].items()}, flush=True
        )
        del index
    return rows


def neighbors(X: np.ndarray, copy: int, n_queries: int = 200) -> np.ndarray:
    """Tell, for some vectors, which of their ten nearest others are of the same copy."""
    some = np.random.default_rng(1).choice(len(X), n_queries, replace=False)
    ids = Index(X).search(X[some], 10, exclude=some)[1]
    same: np.ndarray = ids // copy == some[:, None] // copy
    return same


def main() -> None:
    """Measure and save."""
    options = arguments(__doc__)
    embeddings = lab(options.quick).embeddings
    train, test = split(embeddings.y)
    X = embeddings.X
    dimensions = 64 if options.quick else DIMENSIONS
    coordinates, queries = principal_coordinates(X[train], X[test], dimensions)
    # The test set is sorted by category, so its first photos would be of few categories.
    chosen = np.random.default_rng(0).permutation(len(queries))[:QUERIES]
    sizes = (2_000,) if options.quick else SIZES
    found = {str(n): approximate(coordinates, queries[chosen], n) for n in sizes}
    results = {"approximate": found, "dimensions": dimensions}
    save("search", results, options.quick)


if __name__ == "__main__":
    main()
