"""The same run gives the same numbers, bit for bit, in another process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

RUN = """
import hashlib, sys
import numpy as np
from caltech_lab.classification import random_forest, svm, tune_svm
from caltech_lab.clustering import average_linkage_of_neighbour_means, cut, kmeans, linkage_tree
from caltech_lab.evaluation import bootstrap_interval, retrieval_scores, silhouette
from caltech_lab.features import split
from caltech_lab.retrieval import build_index, search_excluding_self

X, y = np.load(sys.argv[1]), np.load(sys.argv[2])

def show(name, *arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    print(name, digest.hexdigest())

train, test = split(y, seed=3)
show("split", train, test)
model = kmeans(X, 7, seed=3)
show("k-means", model.labels_, model.cluster_centers_)
tree = linkage_tree(X)
show("linkage", tree, cut(tree, 9))
show("recipe", average_linkage_of_neighbour_means(X, 9))
show("silhouette", silhouette(X, model.labels_))
best, table = tune_svm(X[train], y[train], seed=3, grid={"C": [3.0], "gamma": [1.0]})
show("svm", best.decision_function(X[test]), table["accuracy"].to_numpy())
show("forest", random_forest(seed=3).fit(X[train], y[train]).predict_proba(X[test]))
show("search", *search_excluding_self(build_index(X), X, np.arange(len(X)), 10))
scores = retrieval_scores(X, y)
show("scores", scores.precision, scores.average_precision)
show("interval", np.array(bootstrap_interval(scores.precision, seed=3)))
"""


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make 400 unit vectors in ten groups, some of them copies, so that there are ties to break."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 40)
    X = rng.normal(size=(10, 64))[y] + 1.5 * rng.normal(size=(400, 64))
    X[5:9] = X[4]
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    folder = tmp_path_factory.mktemp("arrays")
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return folder / "X.npy", folder / "y.npy"


def run(arrays: tuple[Path, Path], hash_seed: str) -> dict[str, str]:
    command = [sys.executable, "-W", "ignore", "-c", RUN, *map(str, arrays)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


def test_clustering_classification_and_retrieval_twice_in_fresh_processes(
    arrays: tuple[Path, Path],
) -> None:
    first, second = run(arrays, "1"), run(arrays, "2")
    assert len(first) == 10
    assert first == second


def test_ties_are_broken_by_row(arrays: tuple[Path, Path]) -> None:
    from caltech_lab.retrieval import build_index, search

    X = np.load(arrays[0])
    _, ids = search(build_index(X), X[4], 5)
    assert sorted(ids[0]) == [4, 5, 6, 7, 8]
    assert list(ids[0]) == sorted(ids[0])
