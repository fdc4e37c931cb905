"""Vector stores: the same four requests to each, filters pushed down, files not believed."""

import json

import numpy as np
import pytest

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.faiss_store import FaissStore, cells, code_size
from caltech_lab.retrieval.index import NOTHING, Index
from caltech_lab.retrieval.milvus_store import MilvusStore
from caltech_lab.retrieval.stores import KINDS, found, is_store, matching, open_store

N, D = 600, 32
NAMES = ("cup", 'Faces "easy"', "Leopards")


@pytest.fixture(name="X", scope="module")
def vectors():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, D))[np.arange(N) % 20] + 0.3 * rng.normal(size=(N, D))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(name="categories", scope="module")
def names():
    return [NAMES[0]] * 400 + [NAMES[1]] * 170 + [NAMES[2]] * 30


def exact(X, queries, k, allowed):
    similarity = queries @ X.T
    similarity[:, ~allowed] = -2
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


def recall(found, wanted):
    return np.mean([np.isin(a, b).mean() for a, b in zip(wanted, found, strict=True)])


@pytest.mark.parametrize(("kind", "least"), [("exact", 1.0), ("hnsw", 0.98), ("ivf-pq", 0.5)])
def test_answers_are_the_nearest(X, categories, kind, least):
    store = FaissStore(kind, D)
    store.add(np.arange(N), X, categories)
    similarities, ids = store.search(X[:50], 10)
    assert store.ntotal == N
    assert similarities.dtype == np.float32
    assert (np.diff(similarities, axis=1) <= 1e-6).all()
    assert recall(ids, exact(X, X[:50], 10, np.ones(N, bool))) >= least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [NAMES[:1], NAMES[1:2], NAMES[2:], NAMES[1:]])
def test_a_filter_gives_k_answers_where_there_are_k(X, categories, kind, wanted):
    store = FaissStore(kind, D)
    store.add(np.arange(N) + 7, X, categories)
    allowed = np.isin(categories, wanted)
    _, ids = store.search(X[:40], 10, categories=wanted)
    assert (ids >= 7).all()
    assert allowed[ids - 7].all()
    if kind != "ivf-pq":
        assert recall(ids - 7, exact(X, X[:40], 10, allowed)) > 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_answers_than_asked_for_are_marked(X, categories, kind):
    store = FaissStore(kind, D)
    store.add(np.arange(N), X, categories)
    similarities, ids = store.search(X[:2], 50, categories=NAMES[2:])
    assert (np.sort(ids[0, :30]) == np.arange(570, 600)).all()
    assert (ids[:, 30:] == -1).all()
    assert np.isneginf(similarities[:, 30:]).all()
    assert (store.search(X[:2], 5, categories=["unheard of"])[1] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_not_found_and_may_come_again(X, kind):
    store = FaissStore(kind, D)
    store.add(np.arange(N), X)
    assert store.remove(np.array([3, 4, 9999])) == 2
    assert store.remove(np.array([3])) == 0
    assert store.ntotal == N - 2
    assert not np.isin(store.search(X[3:5], 20)[1], [3, 4]).any()
    store.add(np.array([3]), X[3:4], ["again"])
    assert store.search(X[3:4], 1, categories=["again"])[1][0, 0] == 3
    with pytest.raises(ArgumentError, match="already in the gallery"):
        store.add(np.array([3]), X[3:4])


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_store_answers_as_before(X, categories, kind, tmp_path):
    store = open_store(kind, D, tmp_path)
    store.add(np.arange(N), X, categories)
    store.remove(np.array([5]))
    store.save()
    again = open_store(kind, D, tmp_path)
    assert again.ntotal == N - 1
    for wanted in (None, NAMES[1:2]):
        answers = [g.search(X[:9], 4, categories=wanted) for g in (store, again)]
        for a, b in zip(*answers, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("file", ["gallery.faiss", "rows.npy"])
def test_a_flipped_bit_is_not_believed(X, file, tmp_path):
    store = open_store("hnsw", D, tmp_path)
    store.add(np.arange(N), X)
    store.save()
    path = tmp_path / "hnsw" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CacheError, match="delete it"):
        open_store("hnsw", D, tmp_path)


def test_a_store_of_other_vectors_is_not_opened(X, tmp_path):
    store = open_store("exact", D, tmp_path)
    store.add(np.arange(N), X)
    store.save()
    with pytest.raises(CacheError, match="other vectors"):
        open_store("exact", D + 1, tmp_path)
    description = tmp_path / "exact" / "gallery.json"
    description.write_text(json.dumps({"kind": "exact"}))
    with pytest.raises(CacheError, match="damaged"):
        open_store("exact", D, tmp_path)


@pytest.mark.parametrize("kind", ["hnsw", "ivf-pq"])
def test_what_a_filter_hides_from_cells_and_graphs_is_looked_for_everywhere(X, kind):
    """Wide enough to be searched in the quick way first, and all of it far from the query."""
    far = np.argsort(X @ X[0])[: N // 5]
    store = FaissStore(kind, D)
    store.add(np.arange(N), X, np.where(np.isin(np.arange(N), far), "far", "near").tolist())
    quick = store._ask(X[:1], len(far), np.isin(np.arange(N), far), False)[1]
    assert (quick < 0).any()  # or else there was nothing to look for
    _, ids = store.search(X[:1], len(far), categories=["far"])
    np.testing.assert_array_equal(np.sort(ids[0]), np.sort(far))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [None, NAMES[2:]])
def test_k_results_are_left_when_the_query_is_excluded(X, categories, kind, wanted):
    store = FaissStore(kind, D)
    store.add(np.arange(N) + 7, X, categories)
    rows = np.arange(570, 600)
    similarities, ids = store.search(X[rows], 29, categories=wanted, exclude=rows + 7)
    assert ids.shape == similarities.shape == (30, 29)
    assert (ids != NOTHING).all()
    assert not (ids == rows[:, None] + 7).any()
    assert (np.diff(similarities, axis=1) <= 0).all()
    if wanted:  # all others of the category, and one place that stays empty
        similarities, ids = store.search(X[rows], 30, categories=wanted, exclude=rows + 7)
        every = np.tile(rows + 7, (30, 1))
        np.testing.assert_array_equal(
            np.sort(ids[:, :29]), every[~np.eye(30, dtype=bool)].reshape(30, 29)
        )
        assert (ids[:, 29] == NOTHING).all()
        assert np.isneginf(similarities[:, 29]).all()


def test_an_exact_store_searches_as_the_index_does(X):
    doubled = np.concatenate([X, X[:100]])  # so that there are ties
    store, index, rows = FaissStore("exact", D), Index(doubled), np.arange(N)
    store.add(np.arange(len(doubled)), doubled)
    for options in ({}, {"exclude": rows}):
        for ours, theirs in zip(store.search(X, 12, **options), index.search(X, 12, **options),
                                strict=True):  # fmt: skip
            np.testing.assert_array_equal(ours, theirs)


def test_ties_in_a_store_come_by_rising_id(X):
    store = FaissStore("exact", D)
    store.add(np.array([9, 2, 30, 4]), X[[0, 0, 1, 0]])
    assert store.search(X[0], 4)[1].tolist() == [[2, 4, 9, 30]]
    assert store.search(X[0], 2, exclude=9)[1].tolist() == [[2, 4]]


def test_an_id_that_is_not_there_excludes_nothing(X):
    store = FaissStore("exact", D)
    store.add(np.arange(3), X[:3])
    for nobody in (NOTHING, 99):
        similarities, ids = found(*store.search(X[1], 5, exclude=nobody))
        assert sorted(ids) == [0, 1, 2]
        assert ids[0] == 1
        assert (similarities > -1).all()


class Milvus:
    """Stands in for the client of a server that holds all vectors under the numbers of rows."""

    def __init__(self, X):
        self.X = X

    def search(self, collection, queries, limit, **_):
        near = np.stack(queries) @ self.X.T
        rows = np.argsort(-near, axis=1)[:, :limit]
        return [[{"id": int(i), "distance": float(n[i])} for i in r]
                for n, r in zip(near, rows, strict=True)]  # fmt: skip


def test_k_results_are_left_in_milvus_too(X):
    store = MilvusStore.__new__(MilvusStore)  # the client is an extra
    store.d, store._client = D, Milvus(X)
    rows = np.arange(50)
    for k, others in ((10, 10), (N + 5, N - 1)):
        similarities, ids = store.search(X[rows], k, exclude=rows)
        assert ids.shape == similarities.shape == (50, k)
        assert not (ids == rows[:, None]).any()
        assert (ids[:, :others] != NOTHING).all()
        assert (ids[:, others:] == NOTHING).all()
    assert (store.search(X[rows], 3, categories=[], exclude=rows)[1] == NOTHING).all()


def test_wrong_requests_are_sentences(X, tmp_path):
    with pytest.raises(ArgumentError, match="There is no gallery 'bogus': choose exact"):
        open_store("bogus", D, tmp_path)
    assert [is_store(name) for name in ("exact", "milvus:", "milvus:a.db", "x")] == [
        True, False, True, False
    ]  # fmt: skip
    store = FaissStore("exact", D)
    with pytest.raises(ArgumentError, match="32-dimensional vectors and one id"):
        store.add(np.arange(3), X[:3, :5])
    with pytest.raises(ArgumentError, match="32-dimensional vectors and one id"):
        store.add(np.arange(3), np.hstack([X[:3], X[:3]]))
    with pytest.raises(ArgumentError, match="32-dimensional vectors and one id"):
        store.add(np.arange(2), X[:6].reshape(2, 3, D).transpose(0, 2, 1))
    with pytest.raises(ArgumentError, match="5 dimensions and the index has 32"):
        store.search(X[:3, :5], 1)
    with pytest.raises(ArgumentError, match="3 queries but 2 rows to exclude"):
        store.search(X[:3], 1, exclude=[0, 1])
    with pytest.raises(ArgumentError, match="Only a gallery with a folder"):
        store.save()
    assert (store.search(X[:1], 4)[1] == -1).all()


def test_codes_are_short_and_divide_the_width():
    assert [code_size(d) for d in (2048, 1280, 768, 1764, 7, 2)] == [128, 128, 128, 4, 1, 1]


def test_cells_grow_with_the_root_and_are_never_empty():
    assert [cells(n) for n in (1, 79, 600, 9144, 1_000_000)] == [1, 1, 15, 228, 4000]


def test_categories_are_matched_in_one_normal_form_and_others_are_told():
    there = ["Cafe\u0301", "Café", "Dog", "-k", "x", "y", "z"]
    assert matching(["Café", "-k"], there) == ["Cafe\u0301", "Café", "-k"]
    assert matching(["Cafe\u0301"], there[1:]) == ["Café"]
    for typed, sentence in (
        ("doog", r"^There is no category 'doog'\. Did you mean 'Dog'\?$"),
        ("CAFÉ", r"^There is no category 'CAFÉ'\. Did you mean 'Café'\?$"),
        ("unlike", r"^There is no category 'unlike': there are Café, Dog, -k, x, y and 1 more\.$"),
    ):
        with pytest.raises(ArgumentError, match=sentence):
            matching(["Dog", typed], there)
