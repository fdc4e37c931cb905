"""Metrics against hand-worked examples, scikit-learn and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, silhouette_samples

from caltech_lab.errors import ArgumentError
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.metrics import retrieval
from caltech_lab.metrics.categories import category_audit, unevenness
from caltech_lab.metrics.clusters import agreement_scores, cluster_scores
from caltech_lab.metrics.intervals import (
    bootstrap_interval,
    paired_difference_interval,
    proportion_interval,
)
from caltech_lab.metrics.probabilities import expected_calibration_error
from caltech_lab.metrics.retrieval import _ranking, retrieval_scores


def unit(X):
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def blobs():
    rng = np.random.default_rng(3)
    y = rng.integers(6, size=120)
    X = unit(rng.normal(size=(6, 16))[y] + rng.normal(size=(120, 16)))
    return X, y


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


# Retrieval


def test_worked_example_of_five_photos():
    # One query at 0 degrees; the answers, by angle: cat, dog, cat, dog, cat.
    X = on_circle(10, 20, 30, 40, 50)
    y = np.array([0, 1, 0, 1, 0])
    query = {"queries": on_circle(0), "query_labels": np.array([0])}
    scores = retrieval_scores(X, y, **query, k=2)
    assert scores.precision == [1 / 2]  # one cat in the first two
    assert scores.recall == [1 / 3]  # of the three cats
    assert scores.r_precision == [2 / 3]  # two cats in the first three
    assert scores.reciprocal_rank == [1]
    assert scores.average_precision == pytest.approx([(1 / 1 + 2 / 3 + 3 / 5) / 3])

    other = retrieval_scores(X, 1 - y, **query, k=2)
    assert other.reciprocal_rank == [1 / 2]
    assert other.average_precision == pytest.approx([(1 / 2 + 2 / 4) / 2])


def test_leave_one_out_worked_example():
    # 0, 10, 25 and 45 degrees: nearest first, from photo 0: 1, 2, 3; from 1: 0, 2, 3;
    # from 2: 1, 3, 0; from 3: 2, 1, 0.
    scores = retrieval_scores(on_circle(0, 10, 25, 45), np.array([0, 1, 0, 1]), k=1)
    np.testing.assert_array_equal(scores.precision, [0, 0, 0, 0])
    np.testing.assert_allclose(scores.average_precision, [1 / 2, 1 / 3, 1 / 3, 1 / 2])
    np.testing.assert_allclose(scores.reciprocal_rank, [1 / 2, 1 / 3, 1 / 3, 1 / 2])


def test_exact_copies_do_not_hide_the_query():
    # All similarities tie, so a removal by similarity or position would take out another photo.
    X = on_circle(30, 30, 30, 30)
    scores = retrieval_scores(X, np.array([0, 0, 1, 1]), k=1)
    np.testing.assert_array_equal(scores.precision, [1, 1, 0, 0])  # ties go to the first row
    np.testing.assert_allclose(scores.reciprocal_rank, [1, 1, 1 / 3, 1 / 3])


def test_average_precision_is_scikit_learns(blobs):
    X, y = blobs
    scores = retrieval_scores(X, y, k=10)
    for i in (0, 17, 119):
        others = np.arange(120) != i
        expected = average_precision_score(y[others] == y[i], X[others] @ X[i])
        assert scores.average_precision[i] == pytest.approx(expected, abs=1e-6)


def test_ranking_is_that_of_a_stable_argsort():
    rng = np.random.default_rng(5)
    similarity = rng.normal(size=(6, 400)).astype(np.float32).round(2)  # ties within each row
    similarity[1, 7] = -np.inf
    similarity[2] = np.where(np.arange(400) % 3, 0.0, -0.0)
    similarity[3] *= np.float32(1e-40)  # subnormal
    expected = np.argsort(-similarity, axis=1, kind="stable")
    np.testing.assert_array_equal(_ranking(similarity), expected)
    np.testing.assert_array_equal(_ranking(similarity.astype(np.float64)), expected)


def test_rankings_take_no_more_memory_than_a_block(blobs, monkeypatch):
    X, y = blobs
    sizes, whole = [], retrieval_scores(X, y, k=10)
    monkeypatch.setattr(retrieval, "CHUNK_BYTES", 32 * len(X) * 50)  # of 50 queries
    monkeypatch.setattr(retrieval, "_ranking", lambda S: sizes.append(len(S)) or _ranking(S))
    in_blocks = retrieval_scores(X, y, k=10)
    assert sizes == [50, 50, 20]
    np.testing.assert_array_equal(in_blocks.queries, whole.queries)
    np.testing.assert_allclose(in_blocks.average_precision, whole.average_precision)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 10**6))
def test_scores_match_a_plain_loop(n, categories, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-1, 2, size=(n, 3)).astype(np.float32)  # many ties, exact in float32
    y = rng.integers(categories, size=n)
    if np.bincount(y).max() < 2:
        return
    k = int(rng.integers(1, n))
    scores = retrieval_scores(X, y, k=k)
    assert scores.n_dropped == sum(np.bincount(y)[y] == 1)
    for row, i in enumerate(scores.queries):
        order = sorted((j for j in range(n) if j != i), key=lambda j: (-(X[i] @ X[j]), j))
        hits = np.array([y[j] == y[i] for j in order])
        ranks = np.flatnonzero(hits) + 1
        assert scores.labels[row] == y[i]
        assert scores.precision[row] == pytest.approx(hits[:k].mean())
        assert scores.recall[row] == pytest.approx(hits[:k].sum() / hits.sum())
        assert scores.r_precision[row] == pytest.approx(hits[: hits.sum()].mean())
        assert scores.reciprocal_rank[row] == pytest.approx(1 / ranks[0])
        precisions = np.arange(1, len(ranks) + 1) / ranks
        assert scores.average_precision[row] == pytest.approx(precisions.mean())


def test_small_chunks_give_the_same_scores(blobs, monkeypatch):
    X, y = blobs
    whole = retrieval_scores(X, y)
    monkeypatch.setattr("caltech_lab.metrics.retrieval.CHUNK_BYTES", 32 * len(X) * 7)
    pieces = retrieval_scores(X, y)
    np.testing.assert_allclose(pieces.average_precision, whole.average_precision)
    np.testing.assert_array_equal(pieces.precision, whole.precision)


def test_perfect_categories_score_one():
    X, y = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0), np.repeat(np.arange(4), 3)
    scores = retrieval_scores(X, y, k=2)
    for metric in ("precision", "recall", "r_precision", "reciprocal_rank", "average_precision"):
        assert scores.mean(metric) == scores.macro(metric) == 1


def test_singletons_are_dropped_and_counted():
    X, y = on_circle(0, 10, 20, 90), np.array([5, 5, 5, 9])
    scores = retrieval_scores(X, y, k=2)
    assert scores.n_dropped == 1
    np.testing.assert_array_equal(scores.queries, [0, 1, 2])
    asked = retrieval_scores(
        X, y, queries=on_circle(1, 91, 2), query_labels=np.array([5, 9, 7]), k=1
    )
    np.testing.assert_array_equal(asked.queries, [0, 1])  # 9 is found, 7 is not in the gallery


def test_macro_and_micro_differ_on_uneven_categories():
    X, y = on_circle(0, 1, 2, 3, 40, 90), np.array([0, 0, 0, 0, 1, 1])
    scores = retrieval_scores(X, y, k=1)
    assert scores.mean("precision") == pytest.approx(5 / 6)
    assert scores.macro("precision") == pytest.approx((1 + 1 / 2) / 2)


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range_is_a_sentence(k):
    with pytest.raises(ArgumentError, match=r"^k must be between 1 and 3 .*not \d\.$"):
        retrieval_scores(on_circle(0, 1, 2, 3), np.zeros(4, int), k=k)


def test_queries_and_labels_belong_together():
    X, y = on_circle(0, 1), np.zeros(2, int)
    with pytest.raises(ArgumentError, match="together"):
        retrieval_scores(X, y, queries=X, k=1)
    with pytest.raises(ArgumentError, match="No query"):
        retrieval_scores(X, np.array([0, 1]), k=1)


# Averages and intervals


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(0).random(200)
    interval = bootstrap_interval(values, n_resamples=4000)
    expected = bootstrap((values,), np.mean, method="percentile")
    assert interval.estimate == values.mean()
    assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.003)
    assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.003)


def test_bootstrap_within_categories():
    # Within a category all photos are alike, so drawing again within it changes nothing.
    values, groups = np.array([1.0] * 9 + [0.0]), np.array([0] * 9 + [1])
    assert bootstrap_interval(values, groups=groups) == (0.5, 0.5, 0.5)
    plain = bootstrap_interval(values)
    assert plain.estimate == 0.9
    assert plain.low < 0.8
    assert plain.high == 1


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        low, high = bootstrap_interval(
            rng.normal(size=100), level=0.8, n_resamples=300, seed=trial
        )[1:]
        hits += low <= 0 <= high
    assert 0.72 <= hits / 200 <= 0.88


class _Noted:
    """A random generator that notes the shapes it was asked for."""

    def __init__(self, rng, drawn):
        self.rng, self.drawn = rng, drawn

    def integers(self, high, size):
        self.drawn.append(size)
        return self.rng.integers(high, size=size)


def test_bootstrap_options_are_named():
    with pytest.raises(TypeError, match="positional"):
        bootstrap_interval([0.0, 1.0], 0.9)
    assert bootstrap_interval(values=[1.0, 1.0]) == (1, 1, 1)


def test_bootstrap_in_pieces_and_of_nothing(monkeypatch):
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_interval(values, n_resamples=1000)
    drawn, rng = [], np.random.default_rng(0)
    monkeypatch.setattr(
        "caltech_lab.metrics.intervals.np.random.default_rng", lambda seed: _Noted(rng, drawn)
    )
    monkeypatch.setattr("caltech_lab.metrics.intervals.CHUNK_BYTES", 16 * 50 * 30)
    assert bootstrap_interval(values, n_resamples=1000) == whole
    assert drawn == [(30, 50)] * 33 + [(10, 50)]
    with pytest.raises(ArgumentError):
        bootstrap_interval([])


def test_paired_interval_is_narrower_than_two_separate_ones():
    rng = np.random.default_rng(0)
    easy = rng.random(300)
    a, b = easy < 0.9, easy < 0.85  # the same photos are hard for both
    paired = paired_difference_interval(a, b)
    alone = bootstrap_interval(a)
    assert paired.estimate == pytest.approx(a.mean() - b.mean())
    assert 0 < paired.low < paired.estimate < paired.high
    assert paired.high - paired.low < alone.high - alone.low
    with pytest.raises(ArgumentError, match="300 and 299"):
        paired_difference_interval(a, b[1:])


def test_wilson_interval_from_the_formula():
    z, n, p = 1.959963985, 20, 0.75
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    interval = proportion_interval(15, 20)
    assert interval == pytest.approx((p, middle - half, middle + half))
    assert str(interval) == f"0.750 [{middle - half:.3f}, {middle + half:.3f}]"
    with pytest.raises(ArgumentError):
        proportion_interval(0, 0)


def test_unevenness_of_known_spreads():
    assert unevenness(np.full(20, 0.7)).gini == pytest.approx(0)
    assert unevenness([0] * 9 + [1]).gini == pytest.approx(0.9)
    assert unevenness(np.arange(1, 11) / 10) == pytest.approx((0.3, 0.1))
    assert unevenness(np.arange(21)).worst_decile == pytest.approx(1)  # 0, 1 and 2
    assert unevenness([0, 0]).gini == 0


# Clusters


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [2, 6, 40])
def test_silhouette_is_scikit_learns(blobs, metric, k):
    X, _ = blobs
    X = np.vstack([X, X[:5]]) * 3  # exact copies, and rows that are not of length one
    clusters = np.random.default_rng(k).integers(k, size=len(X)) * 7 - 3
    expected = silhouette_samples(X, clusters, metric=metric)
    np.testing.assert_allclose(silhouette(X, clusters, metric=metric), expected, atol=1e-4)


def test_silhouette_across_blocks():
    rng = np.random.default_rng(0)
    X, clusters = rng.normal(size=(4500, 3)).astype(np.float32), rng.integers(3, size=4500)
    expected = silhouette_samples(X, clusters)
    np.testing.assert_allclose(silhouette(X, clusters), expected, atol=1e-6)


def test_several_clusterings_at_once(blobs):
    X, y = blobs
    singleton = np.where(np.arange(120) == 8, 99, 1)
    both = silhouette(X, np.array([y, singleton]))
    np.testing.assert_allclose(both[0], silhouette_samples(X, y), atol=1e-6)
    np.testing.assert_allclose(both[1], silhouette_samples(X, singleton), atol=1e-6)
    assert both[1, 8] == 0


def test_silhouette_of_identical_photos_is_zero():
    X = np.ones((4, 2), np.float32)
    for metric in ("euclidean", "cosine"):
        values = silhouette(X, [0, 0, 1, 1], metric=metric)
        np.testing.assert_allclose(values, 0, atol=1e-12)


@pytest.mark.parametrize("clusters", [[0, 0, 0], [0, 1, 2]])
def test_silhouette_needs_clusters(clusters):
    with pytest.raises(ArgumentError, match=r"2 to 2 clusters, but there are (1|3)\.$"):
        silhouette(np.eye(3, dtype=np.float32), clusters)


def test_perfect_clusters_score_one(blobs):
    X, y = blobs
    scores = cluster_scores(X, 10 - y, y)
    for name in ("nmi", "ami", "ari", "purity", "matched_accuracy"):
        assert scores[name] == pytest.approx(1)
    assert set(cluster_scores(X, y)) == {"silhouette", "davies_bouldin"}


def test_purity_rewards_splitting_and_matching_does_not():
    y = np.repeat([0, 1], 10)
    split = np.arange(20) // 2
    assert agreement_scores(split, y)["purity"] == 1
    assert agreement_scores(split, y)["matched_accuracy"] == pytest.approx(0.2)


def test_random_clusters_have_no_adjusted_agreement():
    rng = np.random.default_rng(0)
    scores = agreement_scores(rng.integers(10, size=2000), rng.integers(10, size=2000))
    assert abs(scores["ari"]) < 0.01
    assert abs(scores["ami"]) < 0.01


# Categories and calibration


def test_audit_worked_example():
    y = np.array([0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 2, 2, 1, 1, 2, 0])
    audit = category_audit(y, predicted, ["ant", "bee", "cat", "dog"])
    assert list(audit.index) == ["ant", "cat", "bee"]  # worst first, no row for the absent dog
    ant = audit.loc["ant"]
    assert ant["n"] == 3
    assert ant["accuracy"] == pytest.approx(1 / 3)
    assert ant["confused_with"] == "cat"
    assert ant["confused_share"] == pytest.approx(2 / 3)
    assert ant["low"] < 1 / 3 < ant["high"]
    assert audit["confused_with"].isna().to_dict() == {"ant": False, "cat": False, "bee": True}
    assert audit.loc["bee", "confused_share"] == 0


def test_audit_with_retrieval(blobs):
    X, y = blobs
    retrieval = retrieval_scores(X, y, k=5)
    names = [f"c{i}" for i in range(6)]
    audit = category_audit(y, y, names, retrieval)
    assert audit["average_precision"].is_monotonic_increasing  # all equally accurate
    assert audit.loc["c2", "precision"] == pytest.approx(
        retrieval.precision[retrieval.labels == 2].mean()
    )
    assert audit["precision"].mean() == pytest.approx(retrieval.macro("precision"))


def test_calibration_worked_example():
    probabilities = [0.2, 0.3, 0.9, 0.8, 0.7, 1.0]
    correct = [False, True, True, True, False, True]
    # 0.3 is in (0.25, 0.5], 0.7 in (0.5, 0.75], and the other three above 0.75.
    error = expected_calibration_error(probabilities, correct, bins=4)
    assert error == pytest.approx((0.2 + 0.7 + 0.7 + 3 * 0.1) / 6)
    # A bin holds its upper edge: 0.5 and 0.3 are in the same one.
    assert expected_calibration_error([0.5, 0.3], [1, 0], bins=4) == pytest.approx(0.1)


def test_calibration_of_honest_and_boastful_predictions():
    p = np.random.default_rng(0).random(20000)
    honest = np.random.default_rng(1).random(20000) < p
    assert expected_calibration_error(p, honest) < 0.02
    assert expected_calibration_error(np.ones(10), np.zeros(10)) == 1
    assert expected_calibration_error([0.0, 1.0], [0, 1], bins=3) == 0


def test_each_category_is_drawn_for_itself():
    # Errors of categories drawn apart average out: with four times the same scores, the interval
    # of the mean over categories is half as wide as that of one; drawn alike, it would be as wide.
    values = np.random.default_rng(0).random(60)
    alone = bootstrap_interval(values)
    four = bootstrap_interval(np.tile(values, 4), groups=np.repeat(np.arange(4), len(values)))
    width = (four.high - four.low) / (alone.high - alone.low)
    assert four.estimate == pytest.approx(alone.estimate)
    assert width == pytest.approx(0.5, abs=0.08)


def test_silhouettes_far_from_the_origin_are_as_exact(blobs):
    X, y = blobs
    far = (X + np.float32(500)).astype(np.float32)
    expected = silhouette_samples(far.astype(np.float64), y)
    np.testing.assert_allclose(silhouette(far, y), expected, atol=1e-4)


def test_a_cluster_is_matched_with_one_category():
    clusters, y = np.zeros(6, int), np.array([0, 0, 0, 1, 1, 2])
    assert agreement_scores(clusters, y)["matched_accuracy"] == pytest.approx(3 / 6)
    clusters = np.array([0, 0, 0, 0, 1, 1])  # the second gets what is left: one photo of 1
    assert agreement_scores(clusters, y)["matched_accuracy"] == pytest.approx(4 / 6)


def test_ten_results_are_scored_unless_another_number_is_given(blobs):
    X, y = blobs
    ten, eleven = (retrieval_scores(X, y, k=k).mean("precision") for k in (10, 11))
    assert retrieval_scores(X, y).mean("precision") == ten != eleven
