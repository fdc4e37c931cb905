"""How the cost of each step grows with the collection, at 1 to 100 times Caltech-101.

The larger collections are made from the real embeddings by `made`.
Seconds are of the processor and not of the clock, on one core, so that other work on the machine
counts little.
A step that would take longer than `BUDGET` at the next size is not measured there. The variable
`STEPS` names the steps to measure anew, with semicolons between; all by default.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import faiss
import numpy as np
from common import RESULTS, arguments, bytes_per_vector, lab, save
from made import grow, principal_coordinates
from neighbors import hdbscan_on_neighbors, neighbor_graph
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from threadpoolctl import threadpool_limits

from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.retrieval.faiss_store import FaissStore
from caltech_lab.storage.files import read_json

TIMES = (1, 3, 10, 30, 100)
PARTS = (0.1, 0.3)  # what grows with the square is measured below Caltech-101 too
DIMENSIONS = 128
BUDGET = 60.0  # processor seconds
LARGEST_TREE = 10_000  # points; the distances between 26,000 take 2.7 GB twice

Matrix = NDArray[np.float32]


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Run something once, and return its processor seconds and what it gave."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def search(kind: str, X: Matrix, queries: Matrix) -> dict[str, float]:
    """Fill a store and ask it: seconds to build, ms per query, bytes per vector."""
    store = FaissStore(kind, X.shape[1])
    build, _ = seconds_of(lambda: store.add(np.arange(len(X)), X))
    asked, (_, ids) = seconds_of(lambda: [store.search(q[None], 10) for q in queries[:50]][-1])
    _, ids = store.search(queries, 10)
    found = {"seconds": build, "query_ms": 1e3 * asked / 50, "bytes": bytes_per_vector(store)}
    exact = np.argpartition(-(queries @ X.T), 10, axis=1)[:, :10]
    same = [len(np.intersect1d(a, b)) for a, b in zip(ids, exact, strict=True)]
    return found | {"recall": float(np.mean(same)) / 10}


def kmeans_then_ward(X: Matrix, k: int, centroids: int) -> NDArray[np.int64]:
    """Cluster with Ward's linkage on the centroids of many small clusters."""
    centroids = min(centroids, len(X) // 4)
    small = MiniBatchKMeans(centroids, batch_size=8192, n_init=1, max_iter=3, random_state=0)
    members = small.fit_predict(X)
    labels = fcluster(linkage_matrix(small.cluster_centers_), k, "maxclust")
    return np.asarray(labels[members], np.int64)


def steps(k: int, quick: bool) -> dict[str, Callable[[Matrix, Matrix, NDArray[Any]], Any]]:
    """Return what is measured, each a function of vectors, queries and labels."""
    centroids = 100 if quick else 1000
    sample = 200 if quick else 5000
    return {
        "K-Means": lambda X, _, y: nmi(y, KMeans(k, n_init=1, max_iter=10, tol=0, random_state=0)
                                       .fit_predict(X)),
        "mini-batch K-Means": lambda X, _, y: nmi(y, MiniBatchKMeans(
            k, batch_size=8192, n_init=1, max_iter=3, random_state=0).fit_predict(X)),
        "Ward": lambda X, _, y: nmi(y, fcluster(linkage_matrix(X), k, "maxclust")),
        "K-Means, then Ward": lambda X, _, y: nmi(y, kmeans_then_ward(X, k, centroids)),
        "silhouette": lambda X, _, y: {"silhouette": float(silhouette_score(X, y))},
        "sampled silhouette": lambda X, _, y: {"silhouette": float(
            silhouette_score(X, y, sample_size=min(sample, len(X)), random_state=0))},
        "exact neighbors": lambda X, *_: {"edges": neighbor_graph(X, 15).nnz},
        "HDBSCAN on neighbors": lambda X, _, y: hdbscan(X, y),
        "flat search": lambda X, Q, _: search("exact", X, Q),
        "HNSW": lambda X, Q, _: search("hnsw", X, Q),
        "IVF-PQ": lambda X, Q, _: search("ivf-pq", X, Q),
    }  # fmt: skip


def nmi(y: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Return the agreement of clusters with categories."""
    return {"nmi": float(normalized_mutual_info_score(y, labels))}


def hdbscan(X: Matrix, y: NDArray[Any]) -> dict[str, float]:
    """Cluster by density on approximate neighbors; the rest, called noise, is left out of NMI."""
    labels = hdbscan_on_neighbors(neighbor_graph(X, 15, approximate=True), 10)
    inside = labels >= 0
    return nmi(y[inside], labels[inside]) | {"clustered": float(inside.mean())}


def main() -> None:
    """Measure all steps at all sizes."""
    options, only = arguments(__doc__), os.environ.get("STEPS", "")
    faiss.omp_set_num_threads(1)
    embeddings = lab(options.quick).embeddings
    dimensions = min(DIMENSIONS, embeddings.X.shape[1])
    coordinates, _ = principal_coordinates(embeddings.X, embeddings.X[:1], dimensions)
    y, m = embeddings.y, len(embeddings.X)
    k = len(embeddings.categories)
    random = np.random.default_rng(0)
    path = RESULTS / "growth.json"
    rows: list[dict[str, Any]] = []
    if only and path.is_file():
        rows = [row for row in read_json(path)["rows"] if row["step"] not in only.split(";")]
    with threadpool_limits(1):
        for name, step in steps(k, options.quick).items():
            if only and name not in only.split(";"):
                continue
            last = 0.0, 1.0
            for factor in (*PARTS, *(TIMES[:2] if options.quick else TIMES)):
                n = round(factor * m)
                if name == "Ward" and n > LARGEST_TREE:
                    break
                if last[0] * (factor / last[1]) ** 1.3 > BUDGET:
                    break
                X = grow(coordinates, max(n, m))
                labels = y[np.arange(len(X)) % m] + k * (np.arange(len(X)) // m)
                if n < m:
                    kept = random.choice(m, n, replace=False)
                    X, labels = X[kept], labels[kept]
                queries = coordinates[random.choice(m, min(200, m), replace=False)]
                spent, told = seconds_of(partial(step, X, queries, labels))
                last = spent, factor
                rows.append({"step": name, "times": factor, "n": n, "seconds": spent} | told)
                print(rows[-1], flush=True)
            save("growth", {"dimensions": dimensions, "rows": rows}, options.quick)


if __name__ == "__main__":
    main()
