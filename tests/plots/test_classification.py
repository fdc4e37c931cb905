"""The figures of classifiers show what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.svm import SVC

from caltech_lab.plots import classification as plots


@pytest.fixture(autouse=True)
def _close_figures():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_boundaries_show_a_panel_a_model_and_its_two_sides():
    X = np.array([[-1.0, 0.0], [-1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([3, 3, 5, 5])
    models = {("linear", 1, 1): SVC(kernel="linear"), ("rbf", 1, 30): SVC(gamma=30)}
    for model in models.values():
        model.fit(X, y)
    first, second = plots.decision_boundaries(models, X, y, list("abcdef"), columns=2)
    assert [ax.get_title() for ax in (first, second)] == ["linear, C 1", "rbf, C 1, gamma 30"]
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["d", "f"]
    sides = np.asarray(first.collections[0].get_array()).reshape(150, 150)
    assert not sides[:, 0].any()
    assert sides[:, -1].all()


def test_small_confusion_matrix_is_written_out_and_a_large_one_is_not():
    ax = plots.confusion_heatmap(np.array([[5, 1], [0, 9]]), ["cat", "dog"])
    assert sorted(texts(ax)) == ["1", "5", "9"]
    names = [f"c{i}" for i in range(101)]
    ax = plots.confusion_heatmap(np.eye(101, dtype=int), names)
    assert not texts(ax)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert 10 < len(labels) < 30
    assert [names.index(label) for label in labels] == ax.get_yticks().tolist()


def test_a_category_without_test_photos_is_white():
    ax = plots.confusion_heatmap(np.array([[2, 2], [0, 0]]), ["cat", "dog"])
    np.testing.assert_allclose(ax.images[0].get_array() ** 2, [[0.5, 0.5], [0, 0]])


def test_part_of_a_confusion_matrix_keeps_the_shares_of_the_whole():
    ax = plots.confusion_heatmap(np.array([[2, 1], [0, 5]]), ["cat", "dog"], sizes=[4, 5])
    np.testing.assert_allclose(ax.images[0].get_array() ** 2, [[0.5, 0.25], [0, 1]])
