"""Exact search, answers without the query, and index files that are not believed blindly."""

import faiss
import numpy as np
import pytest

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.index import (
    build_index,
    load_index,
    save_index,
    search,
    search_excluding_self,
)


@pytest.fixture(name="X")
def embeddings():
    X = np.random.default_rng(0).normal(size=(40, 8))
    X[7] = X[3]  # an exact copy
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def test_search_finds_the_nearest(X):
    index = build_index(X)
    similarities, ids = search(index, X[20:25], k=40)
    expected = X[20:25] @ X.T
    np.testing.assert_allclose(similarities, -np.sort(-expected, axis=1), atol=1e-6)
    np.testing.assert_array_equal(np.sort(ids, axis=1), np.tile(np.arange(40), (5, 1)))
    np.testing.assert_allclose(np.take_along_axis(expected, ids, axis=1), similarities, atol=1e-6)
    np.testing.assert_array_equal(ids[:, 0], np.arange(20, 25))


def test_one_query_may_be_a_vector_of_any_layout(X):
    index = build_index(np.asfortranarray(X.astype(np.float64)))
    similarities, ids = search(index, X[5].astype(np.float64), k=3)
    assert similarities.shape == ids.shape == (1, 3)
    assert ids[0, 0] == 5
    assert similarities.dtype == np.float32
    assert ids.dtype == np.int64


def test_answers_exclude_the_query_by_id(X):
    index = build_index(X)
    everyone = np.arange(40)
    similarities, ids = search_excluding_self(index, X, everyone, k=39)
    assert not (ids == everyone[:, None]).any()
    np.testing.assert_array_equal(
        np.sort(np.column_stack([ids, everyone]), axis=1), np.tile(everyone, (40, 1))
    )
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert ids[3, 0] == 7  # a copy is an answer, whichever of the two comes first
    assert ids[7, 0] == 3


def test_a_query_crowded_out_by_its_copies():
    X = np.ones((6, 1), np.float32)
    _, ids = search_excluding_self(build_index(X), X, np.arange(6), k=2)
    assert ids.shape == (6, 2)
    assert not (ids == np.arange(6)[:, None]).any()


def test_the_best_answers_stay_when_the_query_is_not_among_them():
    X = np.array([[1], [2], [3]], np.float32)  # not of length one, so that 0 is not its own best
    _, ids = search_excluding_self(build_index(X), X[:1], np.array([0]), k=1)
    assert ids.tolist() == [[2]]


@pytest.mark.parametrize("k", [0, 41])
def test_k_out_of_range_is_a_sentence(X, k):
    with pytest.raises(ArgumentError, match=rf"between 1 and the 40 photos there, not {k}\.$"):
        search(build_index(X), X, k)


def test_k_counts_other_photos(X):
    index = build_index(X)
    with pytest.raises(ArgumentError, match="between 1 and the 39 other photos there, not 40"):
        search_excluding_self(index, X, np.arange(40), k=40)


def test_another_dimension_is_a_sentence(X):
    with pytest.raises(ArgumentError, match="5 dimensions and the index has 8"):
        search(build_index(X), X[:, :5], k=1)


def test_saved_index_answers_the_same(X, tmp_path):
    index = build_index(X)
    path = tmp_path / "faiss index" / "Käfer.faiss"
    save_index(path, index)
    loaded = load_index(path, dimension=8, count=40)
    assert isinstance(loaded, faiss.IndexFlatIP)
    for a, b in zip(search(index, X), search(loaded, X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in path.parent.iterdir()] == ["Käfer.faiss"]


def test_faiss_reads_our_file_and_we_read_its(X, tmp_path):
    ours, theirs = tmp_path / "ours.faiss", tmp_path / "theirs.faiss"
    save_index(ours, build_index(X))
    faiss.write_index(build_index(X), str(theirs))
    assert ours.read_bytes() == theirs.read_bytes()
    assert faiss.read_index(str(ours)).ntotal == 40
    assert load_index(theirs, 8, 40).ntotal == 40


def test_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CacheError, match="cannot be read"):
        load_index(tmp_path / "none.faiss", 8, 40)
