"""Fairness by category, against numbers worked by hand."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from caltech_lab.classification.svm import svm
from caltech_lab.datasets.splits import split
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.plots import fairness as plots
from caltech_lab.studies import fairness


def test_calibration_by_category_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.3, 0.7]])
    y = np.array([0, 0, 0, 1, 1])
    table = fairness.calibration_by_category(probabilities, y, ["a", "b"])
    a = table.loc["a"]
    assert a["n"] == 3
    assert a["accuracy"] == pytest.approx(2 / 3)
    assert a["confidence"] == pytest.approx((0.9 + 0.6 + 0.8) / 3)
    assert a["gap"] == pytest.approx(a["confidence"] - a["accuracy"])
    assert a["z"] == pytest.approx((2 - 2.3) / (0.09 + 0.24 + 0.16) ** 0.5)
    assert table["gap"].is_monotonic_decreasing


def test_z_is_a_standard_normal_where_the_probabilities_are_right():
    rng = np.random.default_rng(0)
    n, c = 40_000, 400
    p = rng.uniform(0.55, 1, n)
    answer, y = np.zeros(n, dtype=int), np.arange(n) % c
    right = rng.random(n) < p
    probabilities = np.zeros((n, c))
    answer = np.where(right, y, (y + 1) % c)
    probabilities[np.arange(n), answer] = p
    z = fairness.calibration_by_category(probabilities, y, [str(i) for i in range(c)])["z"]
    assert abs(z.mean()) < 0.15
    assert z.std() == pytest.approx(1, abs=0.1)


def test_a_balanced_draw_takes_each_category_alike():
    y = np.repeat([0, 1, 2], [60, 25, 5])
    rows = fairness.balanced_rows(y, seed=3)
    assert np.bincount(y[rows]).tolist() == [30, 30, 30]
    times = np.bincount(rows, minlength=90)
    assert times[:60].max() == 1  # none of the large category twice
    assert set(times[60:85]) == {1, 2}
    assert set(times[85:]) == {6}
    np.testing.assert_array_equal(rows, fairness.balanced_rows(y, seed=3))


def test_weights_help_the_small_category_and_cost_the_large_one():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [400, 20])
    # Two overlapping clouds: what to say in between depends on what a mistake costs.
    X = np.stack([0.8 + 0.1 * y, np.zeros(420)], axis=1) + rng.normal(0, 0.08, (420, 2))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    X = np.concatenate([X, (0.3 * y[:, None] + rng.normal(0, 0.2, (420, 1)))], axis=1)
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    said = fairness.weighted_answers(svm(n_components=0.99), X, y, X, seed=0)
    small = {name: (answers[y == 1] == 1).mean() for name, answers in said.items()}
    large = {name: (answers[y == 0] == 0).mean() for name, answers in said.items()}
    assert list(said) == ["plain", "class weights", "balanced sampling"]
    for way in ("class weights", "balanced sampling"):
        assert small[way] > small["plain"] + 0.1
        assert large[way] < large["plain"]


def test_weights_are_repetition():
    # A support vector machine cannot tell a photo that counts three times from three copies.
    from sklearn.svm import SVC

    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(40, 3)), np.repeat([0, 1], [30, 10])
    copies = np.concatenate([np.arange(30), np.tile(np.arange(30, 40), 3)])
    weighted = SVC(C=1, gamma=1, class_weight={1: 3}).fit(X, y)
    repeated = SVC(C=1, gamma=1).fit(X[copies], y[copies])
    np.testing.assert_allclose(
        weighted.decision_function(X), repeated.decision_function(X), atol=1e-2
    )


def test_quarters_of_sizes():
    quarters = fairness.size_quarters(np.arange(101)[::-1])
    assert np.bincount(quarters).tolist() == [26, 25, 25, 25]
    assert quarters[0] == 3
    assert quarters[-1] == 0


@pytest.fixture
def lab(photos, environment) -> Lab:
    return Lab(photos, backbone("hog"))


def test_the_background_costs_and_is_counted_apart(lab):
    known, background = fairness.known_and_background(lab)
    assert len(known) + len(background) == len(lab.embeddings)
    assert not set(known.photos.table["path"]) & set(background.photos.table["path"])
    assert len(known.categories) == len(lab.embeddings.categories) - 2
    table = fairness.background_effect(known, background, svm(), 0.1, seed=0)
    assert list(table.columns) == ["without", "with", "counted", "background"]
    micro = table.loc["accuracy"]
    # More wrong answers to choose from cannot make the same rankings better.
    for name in ("precision@10", "mean average precision"):
        assert table.loc[name, "with"] <= table.loc[name, "without"]
    train, test = split(known.y, 0)
    held = round(len(background) * len(test) / len(known))
    both = (micro["with"] * len(test) + micro["background"] * held) / (len(test) + held)
    assert micro["counted"] == pytest.approx(both)
    plain = svm().fit(known.X[train], known.y[train]).score(known.X[test], known.y[test])
    assert micro["without"] == pytest.approx(plain)
    assert np.isnan(table.loc["K-Means: NMI", "background"])


def test_the_figures_show_what_they_are_given():
    ax = plots.scores_by_size([10, 40, 80, 300], {"accuracy": [0.5, 0.6, 0.9, 1.0]})
    assert [line.get_ydata()[0] for line in ax.get_lines()] == [0.5, 0.6, 0.9, 1.0]
    changes = pd.DataFrame(
        {"estimate": [0.1, -0.2], "low": [0, -0.3], "high": [0.2, -0.1], "group": ["a", "b"]},
        index=["one", "two"],
    )
    ax = plots.paired_changes(changes)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["one", "two"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"a", "b"}
    rows = [("none", 0, 0.9)] + [(n, s, 0.9 - s / 10) for n in ("blur", "noise") for s in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["corruption", "strength", "accuracy"])
    axes = plots.corruption_curves({"plain": table}, ["accuracy"], ["accuracy"])
    assert [ax.get_title() for ax in axes] == ["blur", "noise"]
    np.testing.assert_allclose(axes[1].get_lines()[0].get_ydata(), [0.9, 0.8, 0.7, 0.6])
    plt.close("all")
