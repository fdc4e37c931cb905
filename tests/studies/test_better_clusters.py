"""The whitening and the clusters of the final report, against scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, silhouette_score
from sklearn.preprocessing import normalize

from caltech_lab.studies.clusters import better_clusters as better

pytestmark = pytest.mark.usefixtures("one_thread")
K = 4


@pytest.fixture(scope="module")
def blobs():
    random = np.random.default_rng(5)
    y = np.repeat(np.arange(K), [20, 30, 40, 110])
    X = np.abs(np.eye(K).repeat(6, axis=1)[y] * 2 + random.normal(size=(200, 6 * K)) * 0.6)
    order = random.permutation(len(y))
    return normalize(X[order]).astype(np.float32), y[order]


def test_whitening_evens_out_the_axes(blobs):
    X, _ = blobs
    fully = better.whitened(X, 5, power=1)
    roots = normalize(np.sqrt(X))
    reference = normalize(PCA(5, whiten=True, svd_solver="full").fit_transform(roots))
    np.testing.assert_allclose(np.abs(fully), np.abs(reference), atol=1e-3)
    plain = better.whitened(X, 5, power=0)
    assert np.ptp(np.log(plain.std(axis=0))) > np.ptp(np.log(fully.std(axis=0)))
    both = better.whitened([X, X], 5, power=0)  # the same photos twice say nothing new
    np.testing.assert_allclose(both @ both.T, plain @ plain.T, atol=1e-4)


def test_the_recipe_is_scored_and_measured(blobs):
    X, y = blobs
    found = better.best_clustering(X, K)
    assert adjusted_rand_score(y, found.labels) > 0.9
    report = better.better_clusters(X, y, K)
    for name in ("nmi", "ari", "silhouette", "davies_bouldin"):
        low, high = report[name]["interval"]
        assert low <= report[name]["value"] <= high
    assert report["ari"]["value"] == pytest.approx(adjusted_rand_score(y, found.labels))
    assert report["silhouette"]["value"] == pytest.approx(
        silhouette_score(found.space, found.labels), abs=1e-3
    )
    assert report["davies_bouldin"]["value"] == pytest.approx(
        davies_bouldin_score(found.space, found.labels)
    )
    assert [again["seed"] for again in report["repetitions"]] == [0, 1]
    assert report["repetitions"][0]["n_photos"] == 180
    assert report == better.better_clusters(X, y, K)
    assert better.better_clusters(X, y, K, power=0)["whitening"] == 0
