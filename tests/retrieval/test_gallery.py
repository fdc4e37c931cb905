"""Galleries: the same four requests to each, filters that are pushed down, files not believed."""

import json

import numpy as np
import pytest

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.gallery import KINDS, FaissGallery, code_size, is_gallery, open_gallery
from caltech_lab.retrieval.index import search, search_excluding_self

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
    gallery = FaissGallery(kind, D)
    gallery.add(np.arange(N), X, categories)
    similarities, ids = gallery.search(X[:50], 10)
    assert gallery.ntotal == N
    assert similarities.dtype == np.float32
    assert (np.diff(similarities, axis=1) <= 1e-6).all()
    assert recall(ids, exact(X, X[:50], 10, np.ones(N, bool))) >= least


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [NAMES[:1], NAMES[1:2], NAMES[2:], NAMES[1:]])
def test_a_filter_gives_k_answers_where_there_are_k(X, categories, kind, wanted):
    gallery = FaissGallery(kind, D)
    gallery.add(np.arange(N) + 7, X, categories)
    allowed = np.isin(categories, wanted)
    _, ids = gallery.search(X[:40], 10, wanted)
    assert (ids >= 7).all()
    assert allowed[ids - 7].all()
    if kind != "ivf-pq":
        assert recall(ids - 7, exact(X, X[:40], 10, allowed)) > 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_answers_than_asked_for_are_marked(X, categories, kind):
    gallery = FaissGallery(kind, D)
    gallery.add(np.arange(N), X, categories)
    similarities, ids = gallery.search(X[:2], 50, NAMES[2:])
    assert (np.sort(ids[0, :30]) == np.arange(570, 600)).all()
    assert (ids[:, 30:] == -1).all()
    assert np.isneginf(similarities[:, 30:]).all()
    assert (gallery.search(X[:2], 5, ["unheard of"])[1] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_not_found_and_may_come_again(X, kind):
    gallery = FaissGallery(kind, D)
    gallery.add(np.arange(N), X)
    assert gallery.remove(np.array([3, 4, 9999])) == 2
    assert gallery.remove(np.array([3])) == 0
    assert gallery.ntotal == N - 2
    assert not np.isin(gallery.search(X[3:5], 20)[1], [3, 4]).any()
    gallery.add(np.array([3]), X[3:4], ["again"])
    assert gallery.search(X[3:4], 1, ["again"])[1][0, 0] == 3
    with pytest.raises(ArgumentError, match="in the gallery already"):
        gallery.add(np.array([3]), X[3:4])


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_gallery_answers_as_before(X, categories, kind, tmp_path):
    gallery = open_gallery(kind, D, tmp_path)
    gallery.add(np.arange(N), X, categories)
    gallery.remove(np.array([5]))
    gallery.save()
    again = open_gallery(kind, D, tmp_path)
    assert again.ntotal == N - 1
    for wanted in (None, NAMES[1:2]):
        for a, b in zip(gallery.search(X[:9], 4, wanted), again.search(X[:9], 4, wanted),
                        strict=True):  # fmt: skip
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("file", ["gallery.faiss", "rows.npy"])
def test_a_flipped_bit_is_not_believed(X, file, tmp_path):
    gallery = open_gallery("hnsw", D, tmp_path)
    gallery.add(np.arange(N), X)
    gallery.save()
    path = tmp_path / "hnsw" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CacheError, match="delete it"):
        open_gallery("hnsw", D, tmp_path)


def test_a_gallery_of_other_vectors_is_not_opened(X, tmp_path):
    gallery = open_gallery("exact", D, tmp_path)
    gallery.add(np.arange(N), X)
    gallery.save()
    with pytest.raises(CacheError, match="other vectors"):
        open_gallery("exact", D + 1, tmp_path)
    description = tmp_path / "exact" / "gallery.json"
    description.write_text(json.dumps({"kind": "exact"}))
    with pytest.raises(CacheError, match="damaged"):
        open_gallery("exact", D, tmp_path)


def test_the_searches_of_the_series_take_a_gallery(X):
    gallery = FaissGallery("exact", D)
    gallery.add(np.arange(N), X)
    assert (search(gallery, X[:5], 3)[1][:, 0] == np.arange(5)).all()
    _, ids = search_excluding_self(gallery, X, np.arange(N), 3)
    assert not (ids == np.arange(N)[:, None]).any()


def test_wrong_requests_are_sentences(X, tmp_path):
    with pytest.raises(ArgumentError, match="There is no gallery 'bogus': choose exact"):
        open_gallery("bogus", D, tmp_path)
    assert [is_gallery(name) for name in ("exact", "milvus:", "milvus:a.db", "x")] == [
        True, False, True, False
    ]  # fmt: skip
    gallery = FaissGallery("exact", D)
    with pytest.raises(ArgumentError, match="one id and 32 numbers"):
        gallery.add(np.arange(3), X[:3, :5])
    with pytest.raises(ArgumentError, match="Only a gallery with a folder"):
        gallery.save()
    assert (gallery.search(X[:1], 4)[1] == -1).all()


def test_codes_are_short_and_divide_the_width():
    assert [code_size(d) for d in (2048, 1280, 768, 1764, 7, 2)] == [128, 128, 128, 4, 1, 1]
