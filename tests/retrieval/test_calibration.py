"""Cosines as probabilities, and queries that are like nothing: against what was built in."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from caltech_lab.metrics.probabilities import expected_calibration_error
from caltech_lab.retrieval import calibration, novelty


def blobs(spread=1.6, n=900, categories=10):
    centers = (
        np.random.default_rng(0).normal(size=(categories, 16)) * 1.4 + 1.5
    )  # all cosines are high
    X, y = make_blobs(n, centers=centers, cluster_std=spread, random_state=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), y.astype(np.int64)


def test_leave_one_out_is_what_a_product_of_matrices_says():
    X, y = blobs(n=60)
    similarities, relevant = calibration.leave_one_out(X, y, 7)
    cosine = X @ X.T
    np.fill_diagonal(cosine, -2)
    order = np.argsort(-cosine, axis=1)[:, :7]
    np.testing.assert_allclose(similarities, np.take_along_axis(cosine, order, 1), atol=1e-5)
    np.testing.assert_array_equal(relevant, y[order] == y[:, None])
    assert calibration.leave_one_out(X[:5], y[:5], 50)[0].shape == (5, 4)


def test_probabilities_are_calibrated_on_queries_that_were_not_learned_from():
    X, y = blobs()
    curves = calibration.same_category_curves(*calibration.leave_one_out(X[:450], y[:450]))
    cosine = X[450:] @ X[:450].T
    order = np.argsort(-cosine, axis=1)[:, :50]
    s = np.take_along_axis(cosine, order, 1)
    right = y[:450][order] == y[450:, None]
    ranks = np.broadcast_to(np.arange(50), s.shape)
    p = calibration.same_category_probability(curves, s, ranks)
    assert 0.3 < right.mean() < 0.9  # else there is nothing to calibrate
    for columns in (slice(0, 10), slice(10, 50)):
        assert expected_calibration_error(p[:, columns].ravel(), right[:, columns].ravel()) < 0.05
    assert expected_calibration_error(s.ravel(), right.ravel()) > 0.1  # a cosine is none


def test_a_more_similar_answer_is_never_less_probable_and_none_is_certain():
    X, y = blobs()
    curves = calibration.same_category_curves(*calibration.leave_one_out(X, y))
    assert curves.shape == (2, len(calibration.GRID))
    assert (np.diff(curves) >= 0).all()
    assert curves.min() >= calibration.LEAST
    assert curves.max() <= calibration.MOST


def test_the_second_curve_begins_after_the_tenth_result():
    curves = np.stack([np.full(len(calibration.GRID), p) for p in (0.9, 0.8)])
    p = calibration.same_category_probability(curves, [0.7, 0.7, 0.7], [8, 9, 10])
    assert p.tolist() == [0.9, 0.9, 0.8]


def test_a_dozen_photos_are_enough_for_curves():
    X, y = blobs(n=8, categories=2)
    curves = calibration.same_category_curves(*calibration.leave_one_out(X, y))
    np.testing.assert_array_equal(curves[0], curves[1])


def test_familiarity_and_threshold_by_hand():
    similarities = np.float32([[0.9, 0.8, 0.7, 0.0], [0.6, 0.5, 0.4, 0.0]])
    assert novelty.familiarity(similarities) == pytest.approx([0.8, 0.5])
    assert novelty.familiarity(similarities[:, :1]) == pytest.approx([0.9, 0.6])
    assert novelty.novelty_threshold(similarities, 0.5) == pytest.approx(0.65)


def test_the_threshold_keeps_its_share_of_false_alarms():
    X, y = blobs()
    similarities, _ = calibration.leave_one_out(X[:450], y[:450])
    threshold = novelty.novelty_threshold(similarities)
    assert (novelty.familiarity(similarities) < threshold).mean() == pytest.approx(0.05, abs=0.01)


def test_unknown_categories_are_flagged_and_known_ones_are_not():
    X, y = blobs(spread=0.6)
    known, new = y < 7, np.arange(len(y)) >= 450
    detector = novelty.NoveltyDetector().fit(X[known & ~new], y[known & ~new])
    flagged = detector.score_samples(X) < detector.threshold_
    assert flagged[known & new].mean() < 0.15
    assert flagged[~known].mean() > 0.9
    assert len(np.unique(detector.score_samples(X))) == len(X)  # continuous: no two are tied
    again = novelty.fit_novelty(X[known & ~new], y[known & ~new], seed=0)
    assert again.threshold_ == detector.threshold_


@pytest.mark.parametrize("categories", [2, 3])
def test_a_detector_fits_few_photos_and_copies(categories):
    X = np.ones((4 * categories, 8), np.float32) / np.sqrt(8, dtype=np.float32)
    y = np.repeat(np.arange(categories), 4)
    detector = novelty.NoveltyDetector().fit(X, y)
    assert not (detector.score_samples(X) < detector.threshold_).any()
    few, labels = blobs(n=4 * categories, categories=categories)
    assert np.isfinite(novelty.NoveltyDetector().fit(few, labels).score_samples(few)).all()


def test_curves_are_read_in_steps_of_half_a_percent_over_all_cosines():
    np.testing.assert_allclose(np.diff(calibration.GRID), 0.005)
    assert (calibration.GRID[0], calibration.GRID[-1]) == (-1, 1)
