"""The figures of classifiers show what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVC

from caltech_lab.metrics.categories import category_audit
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


def test_tuning_heatmap_frames_the_best_point():
    grid = [(p, s, c, g) for p in (0.5, 1.0) for s in (0.9, 0.95) for c in (3, 10) for g in (1, 2)]
    table = pd.DataFrame(grid, columns=["power", "n_components", "C", "gamma"])
    table["accuracy"] = np.linspace(0.5, 0.8, 16)[::-1]
    table.loc[(table.power == 1) & (table.C == 10) & (table.gamma == 1), "accuracy"] = [0.9, 0.95]
    ax = plots.tuning_heatmap(table)
    assert len(texts(ax)) == 16
    frame = ax.patches[0]
    column, row = frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2
    assert ax.get_xticklabels()[round(column)].get_text() == "gamma 1\nC 10"
    assert ax.get_yticklabels()[round(row)].get_text() == "power 1, 95%"


def test_score_curves_have_the_amounts_as_ticks():
    curve = pd.Series([0.5, 0.7, 0.9], index=[1, 10, 69])
    ax = plots.score_curves({"a": curve, "b": curve / 2}, xlabel="photos")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "10", "69"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.25, 0.35, 0.45])
    assert ax.get_legend() is not None


def test_split_scores_write_the_means():
    table = pd.DataFrame({"accuracy": [0.8, 0.9], "macro_accuracy": [0.6, 0.8]})
    ax = plots.split_scores({"one": table, "two": table - 0.1})
    assert texts(ax) == ["0.850", "0.700", "0.750", "0.600"]


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


def test_accuracy_by_size_names_the_worst_and_none_without_mistakes():
    y = np.repeat([0, 1, 2, 3], [4, 10, 10, 50])
    audit = category_audit(y, np.zeros_like(y), ["ant", "bee", "cat", "dog"])
    assert texts(plots.accuracy_by_size(audit, named=2)) == ["bee, cat"]
    ax = plots.accuracy_by_size(audit)
    assert sorted(texts(ax)) == ["bee, cat", "dog"]
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(points, audit[["n", "accuracy"]])


def test_selection_gap_writes_both_means():
    ax = plots.selection_gap([0.9, 0.8], [0.7, 0.6])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("0.850" in label for label in labels)
    assert any("0.650" in label for label in labels)
