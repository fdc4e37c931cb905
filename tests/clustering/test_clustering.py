"""K-Means sweeps and hierarchical clustering, against scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, linkage
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from caltech_lab.clustering.checks import possible_k
from caltech_lab.clustering.comparison import LINKAGES
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.kmeans import kmeans, kmeans_sweep
from caltech_lab.clustering.smoothing import average_linkage_smoothed
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.linkage import _condensed_distances, linkage_matrices, linkage_matrix
from caltech_lab.storage import models


@pytest.fixture
def blobs():
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(5), [10, 20, 30, 40, 50])
    X = np.eye(12)[y] * 3 + rng.normal(size=(150, 12)) * 0.3
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


# K-Means


def test_kmeans_finds_the_blobs_and_can_be_kept(blobs, tmp_path):
    X, y = blobs
    model = kmeans(X, 5, seed=1)
    assert isinstance(model, KMeans)
    assert model.n_init == 10
    assert adjusted_rand_score(y, model.labels_) == 1
    models.save_model(tmp_path / "kmeans_k5.skops", model)
    kept = models.load_model(tmp_path / "kmeans_k5.skops")
    np.testing.assert_array_equal(kept.predict(X), model.labels_)


@pytest.mark.parametrize(("k", "n_init", "dtype"), [(2, 1, "f4"), (7, 4, "f4"), (7, 4, "f8")])
def test_kmeans_is_that_of_scikit_learn(k, n_init, dtype):
    X = np.random.default_rng(4).normal(size=(700, 60)).astype(dtype)
    theirs = KMeans(k, n_init=n_init, random_state=5).fit(X)
    ours = kmeans(X, k, seed=5, n_init=n_init)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.get_params() == theirs.get_params()


@pytest.mark.parametrize("cluster", [kmeans, average_linkage_smoothed,
                                     lambda X, k: kmeans_sweep(X, [k])])  # fmt: skip
@pytest.mark.parametrize("different", [1, 3])
def test_copies_make_no_clusters_of_their_own(blobs, cluster, different):
    X = np.tile(blobs[0][:different], (5, 1))
    few = {
        1: "there is only 1 different photo among these 5, so at most 1 cluster.",
        3: "there are only 3 different photos among these 15, so at most 3 clusters.",
    }[different]
    with pytest.raises(ArgumentError) as error:
        cluster(X, different + 1)
    assert str(error.value) == f"k = {different + 1} is too large: {few}"


def test_a_default_number_of_clusters_shrinks_to_the_photos(blobs):
    X = blobs[0]
    assert possible_k(X, 20) == 20
    assert possible_k(X[:12], 20) == 11
    assert possible_k(np.tile(X[:3], (9, 1)), 20) == 3
    assert [possible_k(X[:n], 20) for n in (1, 2, 3)] == [1, 1, 2]


def test_sweep_finds_the_right_k(blobs):
    X, y = blobs
    table = kmeans_sweep(X, range(2, 9), seed=0, y=y)
    assert table["k"].tolist() == list(range(2, 9))
    assert table["inertia"].is_monotonic_decreasing
    best = table.loc[table["silhouette"].idxmax()]
    assert best["k"] == 5
    assert best[["nmi", "ari", "purity"]].tolist() == pytest.approx([1, 1, 1])
    labels = kmeans(X, 5, seed=0, n_init=3).labels_
    assert best["silhouette"] == pytest.approx(silhouette_score(X, labels), abs=5e-4)
    assert (table["seconds"] > 0).all()


def test_a_k_of_a_sweep_does_not_depend_on_the_other_ks(blobs):
    X, _ = blobs
    few, many = (kmeans_sweep(X, ks, seed=2).set_index("k") for ks in ([3], [3, 9, 20]))
    assert few.loc[3, "inertia"] == many.loc[3, "inertia"]
    best_of_many = kmeans(X, 20, seed=0, n_init=20).inertia_
    assert many.loc[20, "inertia"] == pytest.approx(best_of_many, rel=0.1)


def test_sweep_without_categories_is_repeatable(blobs):
    X, _ = blobs
    first, second = (kmeans_sweep(X, iter([2, 4]), seed=7) for _ in range(2))
    assert list(first) == ["k", "inertia", "silhouette", "davies_bouldin", "seconds"]
    np.testing.assert_allclose(first.drop(columns="seconds"), second.drop(columns="seconds"))


@pytest.mark.parametrize("k", [-1, 0, 1, 151])
def test_impossible_k_is_a_sentence(blobs, k):
    X, _ = blobs
    with pytest.raises(ArgumentError, match=rf"^k must be between 2 and 150 .*, not {k}\.$"):
        kmeans(X, k)
    with pytest.raises(ArgumentError):
        cut(np.zeros((149, 4)), k)


def test_sweep_refuses_before_it_starts(blobs, monkeypatch):
    X, _ = blobs
    monkeypatch.setattr(
        "caltech_lab.clustering.kmeans.kmeans", lambda *a: pytest.fail("a fit was started")
    )
    with pytest.raises(ArgumentError, match="between 2 and 149"):
        kmeans_sweep(X, [3, 150])


# Linkage matrices


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_linkage_matrix_is_scipys(blobs, method, metric):
    if method == "ward" and metric == "cosine":
        pytest.skip("not defined")
    X, _ = blobs
    Z = linkage_matrix(X, method, metric)
    expected = linkage(pdist(X.astype(np.float64), metric), method)
    assert is_valid_linkage(Z)
    assert Z.shape == (149, 4)
    np.testing.assert_allclose(Z[:, 2], expected[:, 2], atol=1e-9)
    np.testing.assert_array_equal(Z[:, 3], expected[:, 3])
    np.testing.assert_array_equal(np.sort(Z[:, :2], axis=1), np.sort(expected[:, :2], axis=1))


def test_ward_heights_by_hand():
    # Merging {0} and {1}: sqrt(2/2 · 1²) = 1. {0, 1} and {5}: sqrt(2 · 2 · 1 / 3 · 4.5²).
    Z = linkage_matrix(np.array([[0], [1], [5]], np.float32))
    np.testing.assert_allclose(Z, [[0, 1, 1, 2], [2, 3, np.sqrt(4 / 3) * 4.5, 3]])


def test_linkage_matrix_across_blocks():
    X = np.random.default_rng(0).normal(size=(1100, 4)).astype(np.float32)
    Z = linkage_matrix(X, "average")
    np.testing.assert_allclose(Z[:, 2], linkage(X.astype(np.float64), "average")[:, 2], atol=1e-9)


def test_linkage_matrices_that_share_their_distances_are_the_same_as_alone(blobs, monkeypatch):
    X = blobs[0] * np.linspace(0.5, 2, 150, dtype=np.float32)[:, None]
    X[7] = 0
    computed = []

    def counted(X, metric, distances=_condensed_distances):
        computed.append(metric)
        return distances(X, metric)

    monkeypatch.setattr("caltech_lab.fast.linkage._condensed_distances", counted)
    # Each linkage comes first once: none may change the distances that those after it read.
    for shift in range(len(LINKAGES)):
        pairs = LINKAGES[shift:] + LINKAGES[:shift]
        for pair, Z in zip(pairs, linkage_matrices(X, pairs), strict=True):
            expected = linkage_matrix(X, *pair)
            np.testing.assert_allclose(Z[:, 2], expected[:, 2], atol=1e-12)
            for k in (2, 5, 20):
                np.testing.assert_array_equal(cut(Z, k), cut(expected, k))
    computed.clear()
    assert len(list(linkage_matrices(X, LINKAGES))) == 5
    assert computed == ["euclidean"]


def test_faults_of_a_linkage_are_sentences(blobs):
    X, _ = blobs
    with pytest.raises(
        ArgumentError, match=r"^Ward's method needs the Euclidean distance, not cosine\.$"
    ):
        linkage_matrix(X, "ward", "cosine")
    with pytest.raises(ArgumentError, match="at least two photos, but this dataset has 1"):
        linkage_matrix(X[:1])


# Cuts


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single"])
@pytest.mark.parametrize("k", [2, 5, 31, 149])
def test_cut_is_fclusters(blobs, method, k):
    Z = linkage_matrix(blobs[0], method)
    clusters = cut(Z, k)
    expected = fcluster(Z, k, criterion="maxclust")
    assert adjusted_rand_score(clusters, expected) == 1
    assert clusters.dtype == np.int64
    sizes = np.bincount(clusters)
    assert len(sizes) == k
    assert (np.diff(sizes) <= 0).all()


def test_cut_names_the_largest_first(blobs):
    X, y = blobs
    np.testing.assert_array_equal(cut(linkage_matrix(X), 5), 4 - y)


def test_cut_gives_k_clusters_where_heights_tie():
    # Four equal distances: fcluster gives one cluster or four here.
    Z = linkage_matrix(np.eye(4, dtype=np.float32), "single")
    for k in (2, 3, 4):
        assert len(np.unique(cut(Z, k))) == k
    assert len(np.unique(fcluster(Z, 3, criterion="maxclust"))) == 1


def test_the_sweep_keeps_the_best_start(blobs):
    X, _ = blobs
    for seed in range(20):  # a seed whose first start is not the best
        one, many = (kmeans_sweep(X, [12], seed=seed, n_init=n)["inertia"].item() for n in (1, 8))
        assert many <= one + 1e-6
        if many < one - 1e-3:
            return
    pytest.fail("each first start was the best: the test sees nothing")


def test_the_seed_is_zero_unless_another_is_given():
    X = np.random.default_rng(0).random((200, 8), dtype=np.float32)
    given, other = (kmeans(X, 20, seed, n_init=1).labels_ for seed in (0, 1))
    np.testing.assert_array_equal(kmeans(X, 20, n_init=1).labels_, given)
    assert (given != other).any()
    tables = [kmeans_sweep(X, [5, 20], **seed) for seed in ({}, {"seed": 0}, {"seed": 1})]
    usual, zero, last = (table["inertia"].tolist() for table in tables)
    assert usual == zero != last
