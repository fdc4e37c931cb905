"""Milvus Lite answers as exact search does, filters, forgets, and is there again afterwards."""

import numpy as np
import pytest

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.faiss_store import FaissStore
from caltech_lab.retrieval.stores import found, open_store

pytest.importorskip("pymilvus", reason="needs `pip install 'caltech-lab[scale]'`")
pytest.importorskip("milvus_lite", reason="Milvus Lite is not there")
N, D = 500, 24
NAMES = ['Faces "easy"', "cup\\saucer", "Leopards"]


@pytest.fixture(name="X", scope="module")
def vectors():
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(N, D)))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(name="categories", scope="module")
def names():
    return [NAMES[i % 3] for i in range(N)]


def test_milvus_answers_as_exact_search_does(X, categories, tmp_path):
    name = f"milvus:{tmp_path / 'photos.db'}"
    milvus, exact = open_store(name, D, tmp_path), FaissStore("exact", D)
    for store in (milvus, exact):
        store.add(np.arange(N), X, categories)
        assert store.ntotal == N
    for wanted in (None, NAMES[:1], NAMES[1:], ["unheard of"]):
        for query in X[:25]:
            near, ids = exact.search(query, 10, categories=wanted)
            near_too, ids_too = milvus.search(query, 10, categories=wanted)
            np.testing.assert_array_equal(ids, ids_too)
            np.testing.assert_allclose(near, near_too, atol=1e-6)
        for a, b in zip(*(g.search(X[:5], 10, categories=wanted, exclude=np.arange(5))
                          for g in (exact, milvus)), strict=True):  # fmt: skip
            assert a.shape == (5, 10)
            np.testing.assert_allclose(a, b, atol=1e-6)
    assert set(np.array(categories)[milvus.search(X[1], 10, categories=NAMES[:1])[1][0]]) == {
        NAMES[0]
    }

    assert milvus.remove(np.array([0, 3, 9999])) == 2
    assert milvus.remove(np.array([0])) == 0
    assert milvus.ntotal == N - 2
    assert not np.isin(milvus.search(X[0], 20)[1], [0, 3]).any()
    with pytest.raises(ArgumentError, match="already in the gallery"):
        milvus.add(np.array([5]), X[5:6])
    milvus.add(np.array([0]), X[:1], ["again"])
    assert found(*milvus.search(X[0], 5, categories=["again"]))[1].tolist() == [0]
    milvus.save()
    milvus.close()

    again = open_store(name, D, tmp_path)
    assert again.ntotal == N - 1
    assert again.search(X[7], 1)[1].tolist() == [[7]]
    again.close()
    with pytest.raises(CacheError, match=f"holds {D}-dimensional vectors, not {D + 1}"):
        open_store(name, D + 1, tmp_path)


def test_wrong_addresses_are_sentences(tmp_path):
    with pytest.raises(ArgumentError, match=r"ends in \.db"):
        open_store(f"milvus:{tmp_path / 'photos'}", D, tmp_path)
