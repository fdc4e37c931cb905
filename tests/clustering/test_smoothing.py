"""Neighbor means, and average linkage of them, by hand and on noisy groups."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score

from caltech_lab.clustering import comparison
from caltech_lab.clustering.comparison import LINKAGES, compare_clusterings
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.clustering.smoothing import average_linkage_smoothed, smooth_with_neighbors
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.metrics.clusters import cluster_scores


@pytest.fixture
def noisy():
    """Six groups, a third of their photos less noisy, where plain average linkage errs."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), [20, 30, 30, 40, 50, 80])
    noise = rng.normal(size=(250, 60)) * 0.25 * rng.choice([0.5, 1, 1], size=(250, 1))
    X = np.eye(60)[y] + noise
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def test_means_by_hand():
    # The first two are each other's neighbor; the second is the third's.
    X = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    expected = np.array([[1.8, 0.6], [1.8, 0.6], [0.8, 1.6]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    means = smooth_with_neighbors(X, 1)
    np.testing.assert_allclose(means, expected, atol=1e-6)
    assert means.dtype == np.float32


def test_all_neighbors_make_all_photos_one(noisy):
    X, _ = noisy
    means = smooth_with_neighbors(X, len(X) - 1)
    center = X.sum(axis=0) / np.linalg.norm(X.sum(axis=0))
    np.testing.assert_allclose(means, np.tile(center, (len(X), 1)), atol=1e-5)


@pytest.mark.parametrize("n_neighbors", [-1, 0, 250])
def test_impossible_numbers_of_neighbors(noisy, n_neighbors):
    with pytest.raises(ArgumentError, match=r"between 1 and 249 .*\.$"):
        smooth_with_neighbors(noisy[0], n_neighbors)


def test_recipe_finds_what_plain_average_linkage_misses(noisy):
    X, y = noisy
    plain = cut(linkage_matrix(X, "average", "cosine"), 6)
    found = average_linkage_smoothed(X, 6)
    assert adjusted_rand_score(y, plain) < 0.9
    assert adjusted_rand_score(y, found) > 0.95
    assert found.dtype == np.int64
    assert (np.diff(np.bincount(found)) <= 0).all()


def test_recipe_does_not_depend_on_the_order_of_photos(noisy):
    X, _ = noisy
    order = np.random.default_rng(1).permutation(len(X))
    shuffled = average_linkage_smoothed(X[order], 6)
    assert adjusted_rand_score(average_linkage_smoothed(X, 6)[order], shuffled) == 1


def test_comparison_has_every_recipe_and_scores_on_the_vectors_themselves(noisy):
    X, y = noisy
    table = compare_clusterings(X, y, 6, seed=2)
    assert table.index.name == "recipe"
    assert len(table) == len(LINKAGES) + 4
    best = table.loc["average linkage, smoothed"]
    assert best["nmi"] > table.loc["average linkage, cosine", "nmi"]
    found = average_linkage_smoothed(X, 6)
    assert best["silhouette"] == pytest.approx(silhouette(X, found).mean())
    assert best["largest"] == pytest.approx(np.bincount(found).max() / 250)
    assert table.loc["single linkage, cosine", "largest"] > 0.8
    with pytest.raises(ArgumentError, match="k must be between 2 and 249"):
        compare_clusterings(X, y, 250)


def test_the_bar_of_the_comparison_ends_at_its_total(noisy, monkeypatch):
    totals = []
    monkeypatch.setattr(
        comparison, "progress", lambda items, total, **_: totals.append(total) or items
    )
    table = compare_clusterings(*noisy, 6)
    assert totals == [len(table)]


def test_comparison_is_that_of_each_recipe_alone(noisy):
    X, y = noisy
    ward, means = linkage_matrix(X), smooth_with_neighbors(X)
    own, given = (compare_clusterings(X, y, 6, 2, Z) for Z in (None, ward))
    assert given.drop(columns="seconds").equals(own.drop(columns="seconds"))
    alone = {f"{m} linkage, {d}": linkage_matrix(X, m, d) for m, d in LINKAGES}
    alone["ward linkage, smoothed"] = linkage_matrix(means)
    for name, Z in alone.items():
        scores = cluster_scores(X, cut(Z, 6), y)
        assert given.loc[name, list(scores)].to_dict() == pytest.approx(scores, abs=1e-6)


def test_davies_bouldin_is_of_the_vectors_themselves(noisy):
    X, y = noisy
    table = compare_clusterings(X, y, 6, seed=2)
    labels = kmeans(smooth_with_neighbors(X), 6, 2, 3).labels_
    expected = davies_bouldin_score(X, labels)
    assert table.loc["K-Means, smoothed", "davies_bouldin"] == pytest.approx(expected)
    assert davies_bouldin_score(smooth_with_neighbors(X), labels) < 0.9 * expected
