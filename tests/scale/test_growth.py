"""More vectors, in the neighborhoods of the real ones."""

import numpy as np
import pandas as pd
import pytest

from caltech_lab.errors import ArgumentError
from caltech_lab.scale.growth import fitted_exponent, grow, principal_coordinates


@pytest.fixture(name="X")
def embeddings():
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(60, 20)) * np.linspace(2, 0.1, 20) + 0.5)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def test_all_coordinates_keep_all_inner_products(X):
    A, B = principal_coordinates(X[:40], X[40:], 20)
    np.testing.assert_allclose(A @ B.T, X[:40] @ X[40:].T, atol=1e-5)
    moments = A.T @ A
    np.testing.assert_allclose(moments, np.diag(np.diag(moments)), atol=1e-4)
    assert (np.diff(np.diag(moments)) <= 1e-5).all()


def test_a_copy_has_the_similarities_of_the_real_ones(X):
    A, _ = principal_coordinates(X, X, 20)
    grown = grow(A, 150, seed=1)
    assert grown.shape == (150, 20)
    np.testing.assert_array_equal(grown[:60], A)
    np.testing.assert_allclose(grown[60:120] @ grown[60:120].T, A @ A.T, atol=1e-5)
    assert not np.allclose(grown[60:120], A)
    np.testing.assert_allclose(np.diag(grown[:120].T @ grown[:120]), 2 * np.diag(A.T @ A), 1e-4)


def test_neighbors_stay_within_their_copy_in_wide_spaces():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 64))[np.repeat(np.arange(20), 10)] + 0.1 * rng.normal(size=(200, 64))
    A, _ = principal_coordinates(X.astype(np.float32), X[:1].astype(np.float32), 64)
    grown = grow(A, 800)
    similarity = grown @ grown.T
    np.fill_diagonal(similarity, -1)
    assert (similarity.argmax(axis=1) // 200 == np.arange(800) // 200).all()


def test_impossible_sizes_are_sentences(X):
    with pytest.raises(ArgumentError, match=r"^dimensions must be between 1 and 20, not 21\.$"):
        principal_coordinates(X, X, 21)
    with pytest.raises(ArgumentError, match=r"^n must be at least .* 60, not "):
        grow(X, 59)


def test_an_exponent_is_the_slope_of_the_logarithms():
    n = np.array([10.0, 100.0, 1000.0])
    exponent, factor = fitted_exponent(n, 5 * n**1.5)
    np.testing.assert_allclose((exponent, factor), (1.5, 5))


def test_growth_is_drawn_with_its_exponents():
    from caltech_lab.plots.growth import growth_curves

    n = np.array([10, 100, 1000])
    table = pd.concat(
        [
            pd.DataFrame({"step": "linear", "n": n, "cost": 2.0 * n}),
            pd.DataFrame({"step": "square", "n": n[:2], "cost": 0.1 * n[:2] ** 2.0}),
        ]
    )
    ax = growth_curves(table)
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told == ["linear: $n^{1.00}$", "square: $n^{2.00}$"]
    assert len(ax.lines) == 5  # the shorter one goes on, dashed
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
