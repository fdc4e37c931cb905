"""Rocchio against a hand-worked example, and a simulation that cannot pay itself."""

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


def test_the_simulation_by_hand():
    """The gallery lies on a circle; the right ones are on one side of the query."""
    angles = np.radians([1, -2, 3, -4, 10, -11, 12, -13])
    X = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    y = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    query = np.float32([[1, 0]])
    table = feedback.simulate_feedback(X, y, query, np.array([0]), k=4, rounds=1)
    assert table["round"].tolist() == [0, 1]
    assert table["paging"].tolist() == [0.5, 0.5]
    assert table["feedback"].tolist() == [0.5, 0.5]  # all that is left is shown
    assert table["ceiling"].tolist() == [1.0, 0.5]
    two = feedback.simulate_feedback(X, y, query, np.array([0]), k=2, rounds=2)
    # The marks at 1 and -2 degrees turn the query to 2, so that 3 and -4 come next; those at 3 and
    # -4 turn it to 3.5, and 12 degrees are now before -11.
    assert two["paging"].tolist() == [0.5, 0.5, 0.5]
    assert two["feedback"].tolist() == [0.5, 0.5, 1.0]
    assert two["ceiling"].tolist() == [1.0, 1.0, 1.0]


def test_feedback_helps_where_there_is_something_to_learn():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(6, 24))
    y = np.repeat(np.arange(6), 60)
    X = unit(*(centers[y] + rng.normal(scale=1.6, size=(360, 24))))
    labels = np.repeat(np.arange(6), 5)
    Q = unit(*(centers[labels] + rng.normal(scale=1.6, size=(30, 24))))
    table = feedback.simulate_feedback(X, y, Q, labels).groupby("round").mean()
    assert table["feedback"][0] == table["paging"][0]
    assert (table["feedback"] <= table["ceiling"] + 1e-9).all()
    assert table["feedback"][2] > table["paging"][2] + 0.15


@pytest.mark.parametrize("rounds", [0, 3])
def test_no_photo_is_shown_twice(rounds):
    rng = np.random.default_rng(1)
    X, y = unit(*rng.normal(size=(40, 5))), rng.integers(0, 2, 40)
    table = feedback.simulate_feedback(X, y, X[:3] + 0.01, y[:3], k=10, rounds=rounds)
    if rounds == 3:  # after four pages of ten, everything was shown once
        by_query = table.groupby("query")["feedback"].sum() * 10
        assert by_query.tolist() == [(y == label).sum() for label in y[:3]]
    assert len(table) == 3 * (rounds + 1)


def test_all_marks_move_the_query_that_was_given(monkeypatch):
    X = unit([1, 0.1], [1, -0.2], [1, 0.3], [1, -0.4], [1, 0.5], [1, -0.6])
    y, query = np.array([0, 1] * 3), unit([1, 0])
    started, marked = [], []
    original = feedback.rocchio

    def rocchio(vector, good, bad):
        started.append(vector.copy())
        marked.append(len(good) + len(bad))
        return original(vector, good, bad)

    monkeypatch.setattr(feedback, "rocchio", rocchio)
    feedback.simulate_feedback(X, y, query, np.array([0]), k=2, rounds=2)
    np.testing.assert_array_equal(started, np.repeat(query, 3, axis=0))
    assert marked == [2, 4, 6]


def test_the_last_but_one_result_is_remembered():
    X = unit([1, 0, 0], [0, 1, 0], [0, 0.999, 0.01], [0, 0, 1])
    kept = feedback.without_near_duplicates(X, np.arange(1, 4), 2, X[0])
    assert kept.tolist() == [1, 3]
    kept = feedback.without_near_duplicates(X, np.arange(4), 3)
    assert kept.tolist() == [0, 1, 3]


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
