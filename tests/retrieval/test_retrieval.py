"""Exact search, results without the query, and index files that are not believed blindly."""

import faiss
import numpy as np
import pytest

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.index import Index


@pytest.fixture(name="X")
def embeddings():
    X = np.random.default_rng(0).normal(size=(40, 8))
    X[7] = X[3]  # an exact copy
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def test_search_finds_the_nearest(X):
    index = Index(X)
    similarities, ids = index.search(X[20:25], k=40)
    expected = X[20:25] @ X.T
    np.testing.assert_allclose(similarities, -np.sort(-expected, axis=1), atol=1e-6)
    np.testing.assert_array_equal(np.sort(ids, axis=1), np.tile(np.arange(40), (5, 1)))
    np.testing.assert_allclose(np.take_along_axis(expected, ids, axis=1), similarities, atol=1e-6)
    np.testing.assert_array_equal(ids[:, 0], np.arange(20, 25))
    assert (len(index), index.ntotal, index.d) == (40, 40, 8)


def test_one_query_may_be_a_vector_of_any_layout(X):
    index = Index(np.asfortranarray(X.astype(np.float64)))
    similarities, ids = index.search(X[5].astype(np.float64), k=3)
    assert similarities.shape == ids.shape == (1, 3)
    assert ids[0, 0] == 5
    assert similarities.dtype == np.float32
    assert ids.dtype == np.int64


def test_ten_results_are_the_default(X):
    assert Index(X).search(X[0])[1].shape == (1, 10)


class Backwards:
    """An index that gives equal similarities by falling id, as faiss is free to do."""

    d, ntotal = 2, 4

    def search(self, queries, k):
        found = np.array([[1, 0.5, 0.5, 0.5]], np.float32), np.array([[1, 3, 2, 0]], np.int64)
        return tuple(np.tile(part[:, :k], (len(queries), 1)) for part in found)


def test_ties_come_by_rising_id():
    index, queries = Index.from_faiss(Backwards()), np.ones((2, 2), np.float32)
    assert index.search(queries, k=4)[1].tolist() == [[1, 0, 2, 3]] * 2
    similarities, ids = index.search(queries, k=3, exclude=[1, 2])
    assert ids.tolist() == [[0, 2, 3], [1, 0, 3]]
    assert similarities.tolist() == [[0.5, 0.5, 0.5], [1, 0.5, 0.5]]


def test_results_exclude_the_query_by_id(X):
    index = Index(X)
    everyone = np.arange(40)
    similarities, ids = index.search(X, k=39, exclude=everyone)
    assert not (ids == everyone[:, None]).any()
    np.testing.assert_array_equal(
        np.sort(np.column_stack([ids, everyone]), axis=1), np.tile(everyone, (40, 1))
    )
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert ids[3, 0] == 7  # a copy is a result, whichever of the two comes first
    assert ids[7, 0] == 3


def test_one_query_excludes_one_row(X):
    found = Index(X).search(X[7], 3, exclude=7)
    for one, of_many in zip(found, Index(X).search(X[6:8], 3, exclude=[6, 7]), strict=True):
        np.testing.assert_array_equal(one[0], of_many[1])
    with pytest.raises(ArgumentError, match="There are 40 queries but 1 rows to exclude"):
        Index(X).search(X, 3, exclude=7)


def test_a_query_crowded_out_by_its_copies():
    X = np.ones((6, 1), np.float32)
    _, ids = Index(X).search(X, k=2, exclude=np.arange(6))
    assert ids.shape == (6, 2)
    assert not (ids == np.arange(6)[:, None]).any()


def test_the_best_results_stay_when_the_query_is_not_among_them():
    X = np.array([[1], [2], [3]], np.float32)  # not of length one, so that 0 is not its own best
    _, ids = Index(X).search(X[:1], k=1, exclude=np.array([0]))
    assert ids.tolist() == [[2]]


@pytest.mark.parametrize("k", [0, 41])
def test_k_out_of_range_is_a_sentence(X, k):
    with pytest.raises(ArgumentError, match=rf"^k .*between 1 and 40, .* photos, not {k}\.$"):
        Index(X).search(X, k)


@pytest.mark.parametrize("k", [0, 40])
def test_k_counts_other_photos(X, k):
    with pytest.raises(ArgumentError, match=rf"between 1 and 39, .* other photos, not {k}\."):
        Index(X).search(X, k, exclude=np.arange(40))


@pytest.mark.parametrize("ask", ["search", "similarities"])
def test_another_dimension_is_a_sentence(X, ask):
    with pytest.raises(ArgumentError, match="5 dimensions and the index has 8"):
        getattr(Index(X), ask)(X[:, :5])


def test_all_similarities_are_those_of_the_matrix(X):
    index = Index(X)
    np.testing.assert_allclose(index.similarities(X[:5]), X[:5] @ X.T, atol=1e-6)
    np.testing.assert_array_equal(index.similarities(X[5]), [X @ X[5]])
    index.add(np.concatenate([X, X[:2]]))
    assert index.similarities(X[5]).shape == (1, 42)


def test_an_index_grows_by_new_rows_alone(X):
    index = Index(X[:30])
    assert index.add(X) == 10
    assert index.add(X) == 0
    np.testing.assert_array_equal(index.faiss.reconstruct_n(0, 40), X)
    for other in (X[:39], X[::-1], np.ones((50, 9), np.float32)):
        with pytest.raises(ArgumentError, match="does not hold the first rows of these embeddings"):
            index.add(other)
    assert len(index) == 40


def test_an_index_of_many_dimensions_grows():
    X = np.eye(3, 2048, dtype=np.float32)
    index = Index(X[:2])
    assert index.add(X) == 1


def test_what_needs_the_vectors_themselves_needs_an_exact_index(X, tmp_path):
    flat = faiss.IndexFlatL2(8)
    flat.add(X)
    index = Index.from_faiss(flat)
    for step in (lambda: index.add(X), lambda: index.save(tmp_path / "a.faiss"),
                 lambda: index.similarities(X)):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"build an exact one with Index\(X\)\.$"):
            step()
    assert not list(tmp_path.iterdir())


def test_saved_index_answers_the_same(X, tmp_path):
    index = Index(X)
    path = tmp_path / "faiss index" / "Käfer.faiss"
    index.save(path)
    loaded = Index.load(path, dimension=8, count=40)
    assert isinstance(loaded.faiss, faiss.IndexFlatIP)
    for a, b in zip(index.search(X), loaded.search(X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in path.parent.iterdir()] == ["Käfer.faiss"]


def test_faiss_reads_our_file_and_we_read_its(X, tmp_path):
    ours, theirs = tmp_path / "ours.faiss", tmp_path / "theirs.faiss"
    Index(X).save(ours)
    faiss.write_index(Index(X).faiss, str(theirs))
    assert ours.read_bytes() == theirs.read_bytes()
    assert faiss.read_index(str(ours)).ntotal == 40
    assert len(Index.load(theirs, 8, 40)) == 40


def test_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CacheError, match="cannot be read"):
        Index.load(tmp_path / "none.faiss", 8, 40)
