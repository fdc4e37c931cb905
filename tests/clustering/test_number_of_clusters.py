"""Criteria for the number of clusters, by hand and on clusters that are there."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from caltech_lab.clustering import number_of_clusters as cluster_number
from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_four_criteria_find_the_number_of_round_blobs():
    random = np.random.default_rng(0)
    X = (np.eye(4)[np.arange(160) % 4] * 10 + random.normal(size=(160, 4))).astype(np.float32)
    table = cluster_number.cluster_number_table(X, [2, 3, 4, 5, 6, 8])
    assert cluster_number.best_numbers(table) == dict.fromkeys(
        ("elbow", "silhouette", "gap", "stability"), 4
    )
    assert table.loc[4, "stability"] == pytest.approx(1)


def test_numbers_are_read_off_by_hand():
    table = pd.DataFrame(
        {
            "inertia": [10.0, 4.0, 3.0, 2.0],
            "silhouette": [0.1, 0.2, 0.4, 0.3],
            "gap": [0.1, 0.5, 0.55, 0.9],
            "gap_error": [0.0, 0.0, 0.1, 0.1],
            "stability": [0.9, 0.5, 0.4, 0.3],
        },
        index=pd.Index([2, 3, 4, 5], name="k"),
    )
    chosen = cluster_number.best_numbers(table)
    assert chosen == {"elbow": 3, "silhouette": 4, "gap": 3, "stability": 2}


def test_the_elbow_is_where_the_curve_is_farthest_below_its_chord():
    flat = {"silhouette": 0.1, "gap": 0.1, "gap_error": 0.0, "stability": 0.1}
    table = pd.DataFrame([flat] * 4, index=pd.Index([2, 3, 4, 10], name="k"))
    # The chord from 10 to 2 passes 9 and 8: the curve is 3 and 4 below it.
    chosen = cluster_number.best_numbers(table.assign(inertia=[10.0, 6.0, 4.0, 2.0]))
    assert chosen["elbow"] == 4
    assert chosen["gap"] == 2  # the first that is no worse than the next
    # The chord ends at the last value, however far below: at 3 it passes 5, above the 4.
    table = table.iloc[:3].assign(inertia=[10.0, 4.0, 0.0])
    assert cluster_number.best_numbers(table)["elbow"] == 3


def test_the_last_k_is_chosen_if_the_gap_only_grows():
    table = pd.DataFrame(
        {"inertia": 1.0, "silhouette": 0.1, "gap": [0.1, 0.5, 0.9], "gap_error": 0.1,
         "stability": 0.1},
        index=pd.Index([2, 3, 4], name="k"),
    )  # fmt: skip
    assert cluster_number.best_numbers(table)["gap"] == 4


def test_the_gap_compares_with_points_without_clusters():
    random = np.random.default_rng(0)
    X = (np.eye(3)[np.arange(90) % 3] * 10 + random.normal(size=(90, 3))).astype(np.float32)
    table = cluster_number.cluster_number_table(X, [2, 3, 4], references=3, draws=2)
    # The same draws by the same generator, and the definition.
    random = np.random.default_rng(0)
    empty = [cluster_number._without_clusters(X, random) for _ in range(3)]
    logs = [np.log(kmeans(E, 3, 0, 1).inertia_) for E in empty]
    inertia = kmeans(X, 3, 0, 3).inertia_
    assert table.loc[3, "inertia"] == pytest.approx(inertia)
    assert table.loc[3, "gap"] == pytest.approx(np.mean(logs) - np.log(inertia))
    assert table.loc[3, "gap_error"] == pytest.approx(np.std(logs) * np.sqrt(4 / 3))
    assert table.index.tolist() == [2, 3, 4]


def test_stability_is_the_agreement_on_shared_photos():
    random = np.random.default_rng(1)
    X = random.normal(size=(40, 3)).astype(np.float32)
    samples = [np.arange(30), np.arange(10, 40), np.arange(5, 35)]
    labels = [kmeans(X[sample], 3, seed, 1).labels_ for seed, sample in enumerate(samples)]
    named = [
        dict(zip(s.tolist(), fit, strict=True)) for s, fit in zip(samples, labels, strict=True)
    ]
    pairs = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = sorted(set(named[a]) & set(named[b]))
        pairs.append(adjusted_rand_score([named[a][i] for i in both], [named[b][i] for i in both]))
    assert cluster_number._stability(X, 3, samples, 0) == pytest.approx(np.mean(pairs))
    assert np.mean(pairs) < 0.95


def test_the_samples_are_four_fifths(monkeypatch):
    seen = []
    monkeypatch.setattr(
        cluster_number, "_stability", lambda X, k, samples, seed: seen.extend(samples) or 0.0
    )
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    cluster_number.cluster_number_table(X, [2], references=2, draws=3)
    assert [len(sample) for sample in seen] == [40] * 3
    assert all(len(set(sample.tolist())) == 40 for sample in seen)


def test_a_comparison_needs_two_of_each():
    X = np.eye(8, dtype=np.float32)
    for options in ({"references": 1}, {"draws": 1}):
        with pytest.raises(ArgumentError, match="at least 2"):
            cluster_number.cluster_number_table(X, [2], **options)


def test_every_k_leaves_two_photos_per_cluster():
    X = np.eye(12, dtype=np.float32)
    with pytest.raises(ArgumentError, match="between 2 and 6"):
        cluster_number.cluster_number_table(X, [2, 7])
    with pytest.raises(ArgumentError):
        cluster_number.cluster_number_table(X, [1, 2])
