"""Rocchio's rule against a hand-worked example, near-duplicates, and sums of queries."""

import numpy as np
import pytest

from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval import feedback
from caltech_lab.retrieval.feedback import combined


def unit(*rows):
    X = np.array(rows, dtype=np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


NOTHING = np.empty((0, 2), dtype=np.float32)


def test_rocchio_by_hand():
    query, good, bad = np.float32([1, 0]), unit([0, 1], [0, 1]), unit([1, 0])
    # (1, 0) + 2 (0, 1) - 1 (1, 0) = (0, 2)
    np.testing.assert_allclose(feedback.rocchio(query, good, bad), [0, 1], atol=1e-6)
    np.testing.assert_allclose(feedback.rocchio(query, good, NOTHING), np.array([1, 2]) / 5**0.5)
    moved = feedback.rocchio(query, NOTHING, unit([1, 1]))
    expected = np.array([1 - 0.5**0.5 / 3, -(0.5**0.5) / 3])  # a third without any good one
    np.testing.assert_allclose(moved, expected / np.linalg.norm(expected), rtol=1e-5)


def test_without_marks_the_query_stays():
    query = unit([3, 4])[0]
    np.testing.assert_allclose(feedback.rocchio(query, NOTHING, NOTHING), query, rtol=1e-6)


def test_marks_that_cancel_the_query_leave_it_as_it_is():
    query = np.float32([1, 0])
    np.testing.assert_array_equal(feedback.rocchio(query, NOTHING, unit([1, 0])), query)
    # (1, 0) + 2 (-1, 0) - 1 (-1, 0) = 0
    np.testing.assert_array_equal(feedback.rocchio(query, unit([-1, 0]), unit([-1, 0])), query)


def test_near_copies_are_left_out_once():
    X = unit([1, 0], [1, 0.01], [0.5, 0.9], [0.51, 0.9], [0, 1])
    ids = np.arange(5)
    assert feedback.without_near_duplicates(X, ids, 5).tolist() == [0, 2, 4]
    assert feedback.without_near_duplicates(X, ids, 5, query=X[0]).tolist() == [2, 4]
    assert feedback.without_near_duplicates(X, ids, 1).tolist() == [0]
    assert feedback.without_near_duplicates(X, ids[::-1], 5).tolist() == [4, 3, 1]
    assert feedback.without_near_duplicates(X, ids, 5, threshold=1.1).tolist() == ids.tolist()


def test_the_last_but_one_result_is_remembered():
    X = unit([1, 0, 0], [0, 1, 0], [0, 0.999, 0.01], [0, 0, 1])
    kept = feedback.without_near_duplicates(X, np.arange(1, 4), 2, X[0])
    assert kept.tolist() == [1, 3]
    kept = feedback.without_near_duplicates(X, np.arange(4), 3)
    assert kept.tolist() == [0, 1, 3]
    X = unit([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0.999, 0.01], [0, 0, 0, 1])
    kept = feedback.without_near_duplicates(X, np.arange(1, 5), 3, X[0])
    assert kept.tolist() == [1, 2, 4]


# ---- several vectors at once -----------------------------------------------------------------


def test_added_vectors_are_averaged_and_subtracted_ones_taken_away():
    east, north, up = np.eye(3, dtype=np.float32)
    diagonal = (east + north) / np.float32(2**0.5)
    np.testing.assert_allclose(combined([east, north], [1, 1]), diagonal, atol=1e-6)
    np.testing.assert_allclose(combined([diagonal, north], [1, -1]), east, atol=1e-6)
    # Two that are not orthogonal to each other: the rest is orthogonal to both.
    slanted = (north + up) / np.float32(2**0.5)
    all_three = (east + north + up) / np.float32(3**0.5)
    rest = combined([all_three, north, slanted], [1, -1, -1])
    np.testing.assert_allclose(rest, east, atol=1e-6)
    assert rest.dtype == np.float32


def test_the_order_of_the_parts_does_not_matter():
    vectors = unit(*np.random.default_rng(0).exponential(size=(4, 9)))
    one = combined(vectors[:4], [1, -1, 1, -1])
    np.testing.assert_allclose(one, combined(vectors[[2, 3, 1, 0]], [1, -1, -1, 1]), atol=1e-6)


def test_something_must_be_added_and_left():
    vectors = unit([1, 2])
    with pytest.raises(ArgumentError, match="add a photo first"):
        combined(vectors[:1], [-1])
    with pytest.raises(ArgumentError, match="subtract another photo"):
        combined([vectors[0], vectors[0]], [1, -1])
