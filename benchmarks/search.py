"""Search: exact, in two stages, and approximate, from nine thousand vectors to a million."""

import time
from typing import Any

import faiss
import numpy as np
import torch
from common import alternate, arguments, compared, lab, save

from caltech_lab.datasets.splits import split
from caltech_lab.fast.two_stage_search import TwoStageIndex
from caltech_lab.retrieval.index import Index
from caltech_lab.scale.growth import grow, principal_coordinates

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


def exact(X: np.ndarray, queries: np.ndarray, rounds: int) -> dict[str, Any]:
    """Compare the lab's search with plain faiss, one query at a time and in a batch."""
    plain = faiss.IndexFlatIP(X.shape[1])
    plain.add(X)
    ours, two = Index(X), Index.from_faiss(TwoStageIndex(X))
    report = {}
    for title, parts in {"single": np.split(queries, len(queries)), "batch": [queries]}.items():
        print(f"{len(queries)} queries, {title}, {len(X):,} vectors of {X.shape[1]}", flush=True)
        values, seconds = alternate(
            {
                "faiss.IndexFlatIP": lambda p=parts: [plain.search(q, 10)[1] for q in p],
                "the lab, exact": lambda p=parts: [ours.search(q, 10)[1] for q in p],
                "the lab, two stages": lambda p=parts: [two.search(q, 10)[1] for q in p],
            },
            2 * rounds,
        )
        found = [np.concatenate(ids) for ids in values.values()]
        recalls = [recall(found[0], ids) for ids in found]
        print("  recall@10:", recalls)
        assert min(recalls) >= 0.9999
        report[title] = {
            "rows": compared(seconds),
            "recall": dict(zip(values, recalls, strict=True)),
        }
    # What memory gives: the bytes that one query reads, summed up by all threads.
    values, seconds = torch.from_numpy(X), []
    for _ in range(20):
        start = time.perf_counter()
        values.sum()
        seconds.append(time.perf_counter() - start)
    report["bytes"] = X.nbytes
    report["gigabytes_per_s"] = X.nbytes / min(seconds) / 1e9
    return report


def recall(exact_ids: np.ndarray, ids: np.ndarray) -> float:
    """Return the share of the exact answers that are found."""
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
        marks, answers = [time.perf_counter()], []
        for query in queries:
            answers.append(index.search(query[None], 10)[1])
            marks.append(time.perf_counter())
        ids = np.concatenate(answers)
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
    features = lab(options.quick).embeddings
    train, test = split(features.y)
    X = features.X
    results = {"exact": exact(X, X[test][:200], options.rounds)}
    dimensions = 64 if options.quick else DIMENSIONS
    coordinates, queries = principal_coordinates(X[train], X[test], dimensions)
    sizes = (2_000,) if options.quick else SIZES
    results["approximate"] = {str(n): approximate(coordinates, queries[:QUERIES], n) for n in sizes}
    results["dimensions"] = dimensions
    save("search", results, options.quick)


if __name__ == "__main__":
    main()
