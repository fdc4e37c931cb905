"""Graphs, consensus, heads, numbers of clusters and the recipe, by hand or against scikit-learn."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import SpectralClustering
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, silhouette_score
from sklearn.preprocessing import normalize

from caltech_lab.errors import ArgumentError
from caltech_lab.plots import better_clusters as figures
from caltech_lab.studies.clusters import better_clusters as better
from caltech_lab.studies.clusters import consensus, deep_clustering, graph_clustering

pytestmark = pytest.mark.usefixtures("one_thread")
K = 4


@pytest.fixture(scope="module")
def blobs():
    random = np.random.default_rng(5)
    y = np.repeat(np.arange(K), [20, 30, 40, 110])
    X = np.abs(np.eye(K).repeat(6, axis=1)[y] * 2 + random.normal(size=(200, 6 * K)) * 0.6)
    order = random.permutation(len(y))
    return normalize(X[order]).astype(np.float32), y[order]


# Graphs


def test_a_graph_joins_neighbors_and_a_mutual_one_fewer(blobs):
    X, _ = blobs
    union = graph_clustering.neighbor_graph(X, 10)
    mutual = graph_clustering.neighbor_graph(X, 10, mutual=True)
    assert (union != union.T).nnz == (mutual != mutual.T).nnz == 0
    assert mutual.nnz < 10 * len(X) < union.nnz
    assert not union.diagonal().any()
    rows, columns = union.nonzero()
    np.testing.assert_allclose(
        union[rows, columns], np.einsum("ij,ij->i", X[rows], X[columns]), atol=1e-5
    )


def test_the_first_eigenvector_of_two_islands_tells_them_apart():
    X = normalize([[1, 0.1], [1, 0.2], [1, 0.3], [0.1, 1], [0.2, 1], [0.3, 1]]).astype(np.float32)
    embedded = graph_clustering.spectral_embedding(graph_clustering.neighbor_graph(X, 2), 2)
    cosines = embedded @ embedded.T
    same = np.arange(6)[:, None] // 3 == np.arange(6) // 3
    assert (cosines[same] > 0.99).all()
    assert (np.abs(cosines[~same]) < 0.01).all()


def test_spectral_clusters_as_scikit_learn_finds_them(blobs):
    X, _ = blobs
    ours = graph_clustering.spectral_clusters(X, K, 12)
    graph = graph_clustering.neighbor_graph(X, 12)
    theirs = SpectralClustering(K, affinity="precomputed", random_state=0).fit_predict(graph)
    assert adjusted_rand_score(ours, theirs) > 0.95


def test_communities_and_dense_groups_find_the_number_themselves(blobs):
    X, y = blobs
    found = graph_clustering.communities(graph_clustering.neighbor_graph(X, 25), resolution=0.5)
    assert adjusted_rand_score(y, found) > 0.9
    assert (np.diff(np.bincount(found)) <= 0).all()
    few = PCA(3).fit_transform(X)
    strays = np.eye(3) * 9 - 3  # three photos far from all the others, and from each other
    dense = graph_clustering.dense_groups(np.vstack([few, strays]), smallest=10)
    assert adjusted_rand_score(y, dense[: len(y)]) > 0.9
    assert (dense[len(y) :] == -1).all()


# Consensus


def test_a_consensus_outvotes_the_odd_one():
    right, wrong = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 0, 1])
    found = consensus.consensus([right, right, wrong], 2)
    assert adjusted_rand_score(found, right) == 1
    agreement = consensus.mutual_agreement([right, right, wrong])
    assert agreement[0] == agreement[1] > agreement[2]


def test_a_consensus_needs_clusterings_of_the_same_photos():
    with pytest.raises(ArgumentError, match="all of the same photos"):
        consensus.co_association([np.array([0, 1]), np.array([0, 1, 1])])
    with pytest.raises(ArgumentError, match="k must be between"):
        consensus.consensus([], 2)
    with pytest.raises(ArgumentError, match="at least two"):
        consensus.mutual_agreement([np.array([0, 1])])


# Heads


def test_heads_learn_the_blobs_the_same_for_the_same_seed(blobs):
    X, y = blobs
    first, again = (
        deep_clustering.train_heads(X, K, heads=2, steps=150, n_neighbors=10) for _ in range(2)
    )
    assert first.labels.shape == (2, len(X))
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.losses[:, -15:].mean(axis=1) < first.losses[:, :15].mean(axis=1)).all()
    assert adjusted_rand_score(y, first.best) > 0.8
    other = deep_clustering.train_heads(X, K, heads=2, steps=2, n_neighbors=10, seed=1)
    assert (other.losses[:, 0] != first.losses[:, 0]).all()


def test_the_best_head_is_the_one_whose_loss_ends_lowest():
    losses = np.array([[0.0] * 10 + [5.0] * 10, [9.0] * 10 + [1.0] * 10])
    heads = deep_clustering.Heads(np.array([[0, 0], [1, 1]]), losses)
    assert heads.best.tolist() == [1, 1]


# The recipe


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


def test_the_recipe_is_compared_scored_and_measured(blobs):
    X, y = blobs
    even = better.whitened(X)
    clusterings = better.cluster_in_many_ways(even, K)
    table = better.score_table(even, clusterings, y)
    assert list(table.index) == list(clusterings.columns)
    assert table.loc[better.RECIPE, "ari"] > 0.9
    found = better.best_clustering(X, K)
    assert adjusted_rand_score(found.labels, clusterings[better.RECIPE]) == 1
    row = table.loc[better.RECIPE]
    assert row["own_silhouette"] == pytest.approx(silhouette_score(*reversed(found)), abs=1e-3)
    assert row["silhouette"] == pytest.approx(silhouette_score(even, found.labels), abs=1e-3)
    assert row["own_davies_bouldin"] == pytest.approx(davies_bouldin_score(*reversed(found)))
    assert row["largest"] == pytest.approx(np.bincount(found.labels).max() / len(y))

    report = better.better_clusters(X, y, K)
    for name in ("nmi", "ari", "silhouette", "davies_bouldin"):
        low, high = report[name]["interval"]
        assert low <= report[name]["value"] <= high
    assert report["ari"]["value"] == pytest.approx(row["ari"])
    assert [again["seed"] for again in report["repetitions"]] == [0, 1]
    assert report["repetitions"][0]["n_photos"] == 180
    assert report == better.better_clusters(X, y, K)
    assert better.better_clusters(X, y, K, power=0)["whitening"] == 0


def test_scores_are_drawn_with_their_names(blobs):
    table = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.4]}, index=["Ward", "K-Means"])
    own = figures.score_against_score(table, "a", "b", ("first", "second"), highlight="Ward")
    assert {text.get_text().strip() for text in own.texts} == {"Ward", "K-Means"}
    assert (own.get_xlabel(), own.get_ylabel()) == ("first", "second")
    given = plt.subplots()[1]
    assert figures.score_against_score(table, "a", "b", ax=given) is given
    plt.close("all")
