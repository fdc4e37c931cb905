"""A shortlist by short vectors: answers as exact search gives them, wherever it can."""

import numpy as np
import pytest

from caltech_lab.errors import ArgumentError
from caltech_lab.fast.two_stage_search import TwoStageIndex
from caltech_lab.retrieval.index import Index


def unit(X):
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(name="X", scope="module")
def embeddings():
    """Vectors as a network gives them: none negative, most of their length in few directions."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(30, 256)) @ np.diag(1 / np.arange(1, 257))
    return unit(
        np.maximum(0.2 + np.repeat(centers, 40, axis=0) + rng.normal(0, 0.03, (1200, 256)), 0)
    )


def two_stages(X, **options):
    return Index.from_faiss(TwoStageIndex(X, **options))


def recall(index, X, queries, k):
    index, exact = Index.from_faiss(index), Index(X).search(queries, k)[1]
    parts = np.array_split(queries, -(-len(queries) // 40))  # not so many that all are compared
    found = np.concatenate([index.search(part, k)[1] for part in parts])
    return np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)])


@pytest.mark.parametrize("k", [1, 10, 60])
def test_a_shortlist_finds_what_exact_search_finds(X, k):
    assert recall(TwoStageIndex(X, dimensions=96), X, X, k) >= 0.9999


def test_too_short_vectors_and_too_short_a_list_miss_answers(X):
    """Or else the test above would prove nothing."""
    assert recall(TwoStageIndex(X, dimensions=4, shortlist=1), X, X, 1) < 0.9


def test_the_shortlist_has_the_length_asked_for(X):
    few = recall(TwoStageIndex(X, dimensions=24, shortlist=5), X, X, 1)
    many = recall(TwoStageIndex(X, dimensions=24, shortlist=200), X, X, 1)
    everything = TwoStageIndex(X, dimensions=24, shortlist=len(X))
    assert few < many
    assert recall(everything, X, X, 1) == 1


def test_similarities_are_those_of_the_full_vectors(X):
    similarities, ids = two_stages(X, dimensions=16).search(X[:50], 10)
    expected = np.take_along_axis(X[:50] @ X.T, ids, axis=1)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert similarities.dtype == np.float32
    assert ids.dtype == np.int64


def test_a_batch_is_searched_exactly(X):
    index = two_stages(X, dimensions=4, shortlist=1)
    exact = Index(X).search(X, 3)
    for ours, theirs in zip(index.search(X, 3), exact, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("n", "k"), [(5, 1), (5, 5), (60, 60)])
def test_galleries_smaller_than_the_shortlist_are_searched_whole(X, n, k):
    few = X[::20][:n]
    index = TwoStageIndex(few)
    assert (index.ntotal, index.d) == (n, 256)
    assert recall(index, few, X[:30], k) == 1


def test_wrong_arguments_are_a_sentence(X):
    index = two_stages(X[:20])
    with pytest.raises(ArgumentError, match="between 1 and 20, the number of photos"):
        index.search(X[:1], 21)
    with pytest.raises(ArgumentError, match="100 dimensions and the index has 256"):
        index.search(X[:1, :100], 1)
