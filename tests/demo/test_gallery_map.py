"""The map of the gallery, for any number of photos."""

import numpy as np
import pytest

from caltech_lab.demo import gallery_map
from caltech_lab.demo.gallery_map import map_of, place_of, places

pytestmark = pytest.mark.usefixtures("one_thread")


def embeddings(*sizes: int, spread: float = 0.1) -> np.ndarray:
    """Return unit vectors in groups of these sizes."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(len(sizes), 16)), sizes, axis=0)
    X = X + spread * rng.normal(size=X.shape)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def are_on_the_map(found: np.ndarray, n: int) -> bool:
    return found.shape == (n, 2) and found.dtype == np.float32 and np.abs(found - 0.5).max() <= 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 12])
def test_few_photos_have_places_of_their_own(n):
    found = map_of(embeddings(*[1] * n))
    assert are_on_the_map(found, n)
    assert len(np.unique(found, axis=0)) == n


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_copies_of_one_photo_are_at_one_place(n):
    found = map_of(np.repeat(embeddings(1), n, axis=0))
    np.testing.assert_array_equal(found, np.full((n, 2), 0.5))


def test_copies_of_a_few_photos_are_at_a_few_places():
    found = map_of(np.tile(embeddings(1, 1, 1), (20, 1)))
    assert are_on_the_map(found, 60)
    assert len(np.unique(found.round(4), axis=0)) == 3


def test_similar_photos_are_close():
    found, y = map_of(embeddings(30, 30, 30)), np.repeat([0, 1, 2], 30)
    middles = np.stack([found[y == c].mean(axis=0) for c in range(3)])
    assert (np.linalg.norm(found[:, None] - middles, axis=2).argmin(axis=1) == y).all()
    np.testing.assert_array_equal(found, map_of(embeddings(30, 30, 30)))


def test_a_large_gallery_is_mapped_by_a_sample(monkeypatch):
    monkeypatch.setattr(gallery_map, "MOST", 60)
    mapped = []

    def counted(X, perplexity, seed):
        mapped.append(len(X))
        return X[:, :2].astype(np.float64)

    monkeypatch.setattr("caltech_lab.demo.gallery_map.tsne", counted)
    found, y = map_of(embeddings(100, 100)), np.repeat([0, 1], 100)
    assert mapped == [60]
    assert are_on_the_map(found, 200)
    middles = np.stack([found[y == c].mean(axis=0) for c in range(2)])
    assert (np.linalg.norm(found[:, None] - middles, axis=2).argmin(axis=1) == y).all()


def test_the_place_of_an_upload_is_among_its_nearest_photos():
    some = np.float32([[0, 0], [0.1, 0], [0.2, 0.1], [0.1, 0.1], [0.1, 0.2], [1, 1], [1, 1]])
    np.testing.assert_allclose(place_of(some, np.arange(7)), [0.1, 0.1])
    np.testing.assert_allclose(place_of(some, np.array([[5, 6], [0, 1]])), [[1, 1], [0.05, 0]])


def test_the_map_of_a_lab_is_cached(small_lab, monkeypatch):
    found = places(small_lab)
    assert are_on_the_map(found, len(small_lab.embeddings))
    assert (small_lab.folder("results/demo") / "map.npy").is_file()
    monkeypatch.setattr("caltech_lab.demo.gallery_map.tsne", None)
    np.testing.assert_array_equal(places(small_lab), found)
