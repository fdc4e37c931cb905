"""Silhouette, Ward's linkage and K-Means sweeps: the lab against the plain calls."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from common import alternate, arguments, compared, lab, save
from scipy.cluster.hierarchy import linkage
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.kmeans import kmeans, kmeans_sweep
from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.fast.silhouette import silhouette

KS = (10, 20, 30, 40, 50)


def cuts(Z: np.ndarray) -> list[np.ndarray]:
    """Cut one linkage matrix at each k."""
    return [cut(Z, k) for k in KS]


def ward(X: np.ndarray, rounds: int) -> dict[str, Any]:
    """Time Ward's method for five k."""
    print(f"Ward's method, cut at k = {', '.join(map(str, KS))}", flush=True)
    values, seconds = alternate(
        {
            # It links anew for each k, so that one k is a fifth of what a reader pays.
            "scikit-learn, k = 50 only": lambda: AgglomerativeClustering(50).fit_predict(X),
            "SciPy, one linkage matrix": lambda: cuts(linkage(X, "ward")),
            "the lab, one linkage matrix": lambda: cuts(linkage_matrix(X)),
        },
        rounds,
    )
    rows = compared(seconds)
    theirs, _, ours = values.values()
    agreement = adjusted_rand_score(theirs, ours[-1])
    print(f"  adjusted Rand index of scikit-learn's clusters and ours: {agreement:.6f}")
    assert agreement > 0.999
    return {"rows": rows, "agreement": agreement}


def silhouettes(X: np.ndarray, ks: Iterable[int], rounds: int) -> dict[str, Any]:
    """Time one silhouette, and those of several clusterings."""
    clusterings = [KMeans(k, n_init=1, random_state=0).fit(X).labels_ for k in ks]
    report = {}
    for title, some in {"one": clusterings[:1], "several": clusterings}.items():
        print(f"Silhouette of {len(some)} clusterings", flush=True)
        values, seconds = alternate(
            {
                "scikit-learn": lambda some=some: [silhouette_score(X, c) for c in some],
                "the lab": lambda some=some: silhouette(X, np.stack(some)).mean(axis=1),
            },
            rounds,
        )
        off = float(np.abs(np.subtract(*values.values())).max())
        print(f"  they differ by {off:.1e} at most")
        assert off < 5e-4
        report[title] = {"rows": compared(seconds), "clusterings": len(some), "off": off}
    return report


def sweeps(X: np.ndarray, rounds: int) -> dict[str, Any]:
    """Time K-Means over several k with its scores."""
    print(f"K-Means with silhouettes for k = {', '.join(map(str, KS))}", flush=True)

    def plain() -> list[float]:
        models = [KMeans(k, n_init=1, random_state=0).fit(X) for k in KS]
        for model in models:
            silhouette_score(X, model.labels_)
        return [float(model.inertia_) for model in models]

    values, seconds = alternate(
        {"scikit-learn": plain, "the lab": lambda: kmeans_sweep(X, KS, n_init=1)["inertia"]},
        rounds,
    )
    inertia = float((np.array(values["the lab"]) / np.array(values["scikit-learn"])).mean())
    print(f"  inertia over scikit-learn's: {inertia:.4f}")
    assert inertia < 1.02
    return {"rows": compared(seconds), "inertia_over_plain": inertia}


def ten_starts(X: np.ndarray, rounds: int) -> dict[str, Any]:
    """Time K-Means with ten starts, of which the best is kept."""
    k = min(50, len(X) // 4)
    print(f"K-Means, k = {k}, ten starts", flush=True)
    values, seconds = alternate(
        {
            "scikit-learn": lambda: KMeans(k, n_init=10, random_state=0).fit(X).labels_,
            "the lab": lambda: kmeans(X, k).labels_,
        },
        rounds,
    )
    agreement = adjusted_rand_score(*values.values())
    print(f"  adjusted Rand index of scikit-learn's clusters and ours: {agreement:.6f}")
    assert agreement > 0.999
    return {"k": k, "rows": compared(seconds), "agreement": agreement}


def main() -> None:
    """Measure and save."""
    options = arguments(__doc__)
    X = lab(options.quick).embeddings.X
    results = {
        "n": len(X),
        "silhouette": silhouettes(X, KS, options.rounds),
        "kmeans": sweeps(X, options.rounds),
        "ten_starts": ten_starts(X, options.rounds),
        "ward": ward(X, min(options.rounds, 2)),
    }
    save("clustering", results, options.quick)


if __name__ == "__main__":
    main()
