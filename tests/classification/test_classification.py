"""The classifiers' parts, their tuning against GridSearchCV, and how they are kept."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import check_estimator

from caltech_lab.classification import comparison
from caltech_lab.classification.comparison import confused_pairs, learning_curve, repeated_splits
from caltech_lab.classification.forest import random_forest
from caltech_lab.classification.svm import PowerNormalizer, svm
from caltech_lab.classification.tuning import best_parameters, svm_grid, tune_svm
from caltech_lab.datasets.splits import split
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.pca import project
from caltech_lab.storage import models


def blobs(counts, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.abs(np.eye(len(counts), 24)[y] * 2 + rng.normal(size=(len(y), 24)) * noise)
    order = rng.permutation(len(y))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    return X[order], y[order]


# The normalizer


def test_normalizer_keeps_scikit_learns_rules():
    check_estimator(PowerNormalizer())


def test_normalizer_by_hand():
    X = np.array([[16.0, -9.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(PowerNormalizer().fit_transform(X), [[4 / 5, -3 / 5, 0], [0, 0, 0]])
    np.testing.assert_allclose(PowerNormalizer(1).fit_transform(X)[0] * np.sqrt(337), X[0])


def test_normalizer_keeps_float32():
    assert PowerNormalizer().fit_transform(np.ones((2, 2), np.float32)).dtype == np.float32


# The classifiers


@pytest.mark.parametrize("make", [svm, lambda: random_forest(n_estimators=30)])
def test_classifiers_tell_easy_categories_apart(make, tmp_path):
    X, y = blobs([30, 20, 25, 40], noise=0.5)
    train, test = split(y)
    model = make().fit(X[train], y[train] * 10)
    predicted = model.predict(X[test])
    assert np.mean(predicted == y[test] * 10) > 0.9
    models.save_model(tmp_path / "model.skops", model)
    kept = models.load_model(tmp_path / "model.skops")
    np.testing.assert_array_equal(kept.predict(X), model.predict(X))


@pytest.mark.parametrize("make", [svm, random_forest])
def test_the_same_seed_gives_the_same_predictions(make):
    X, y = blobs([20, 20, 20], noise=2)
    first, second = (make().fit(X[::2], y[::2]).predict(X[1::2]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("make", [svm, random_forest])
def test_fewer_photos_than_dimensions(make):
    rng = np.random.default_rng(0)
    X, y = rng.random((12, 2048), dtype=np.float32), np.repeat([0, 1, 2], 4)
    assert make().fit(X, y).predict(X).shape == (12,)


def test_forest_seeds_differ():
    X, y = blobs([20, 20], noise=2)
    one, two = (random_forest(seed, n_estimators=20).fit(X, y).predict_proba(X) for seed in (0, 1))
    assert not np.array_equal(one, two)


# Tuning


def test_tuning_gives_grid_searchs_table():
    X, y = blobs([20, 30, 25, 22], noise=1.4)
    grid = {"power": [0.5, 1.0], "n_components": [0.6, 0.95], "C": [0.3, 5.0], "gamma": [0.2, 2.0]}
    table = tune_svm(X, y, seed=4, grid=grid, n_folds=3)
    best = svm(**best_parameters(table))

    names = {"power": "powernormalizer__power", "n_components": "pca__n_components"}
    names |= {"C": "svc__C", "gamma": "svc__gamma"}
    search = GridSearchCV(
        svm(),
        {names[name]: values for name, values in grid.items()},
        scoring=["accuracy", "balanced_accuracy"],
        refit="accuracy",
        cv=StratifiedKFold(3, shuffle=True, random_state=4),
    ).fit(X, y)
    assert len(table) == 16
    assert table["accuracy"].nunique() > 4  # the points do differ
    result = search.cv_results_
    for i, params in enumerate(result["params"]):
        row = table
        for name, long_name in names.items():
            row = row[row[name] == params[long_name]]
        row = row.iloc[0]
        assert row["accuracy"] == pytest.approx(result["mean_test_accuracy"][i])
        assert row["accuracy_std"] == pytest.approx(result["std_test_accuracy"][i])
        assert row["macro_accuracy"] == pytest.approx(result["mean_test_balanced_accuracy"][i])
    assert table["accuracy"].is_monotonic_decreasing
    assert table["accuracy"][0] == pytest.approx(search.best_score_)
    for name, long_name in names.items():
        assert best.get_params()[long_name] == table[name][0]
    np.testing.assert_array_equal(best.fit(X, y).predict(X), clone(best).fit(X, y).predict(X))


def test_default_grid_is_tried_and_parts_of_it_can_be_given():
    X, y = blobs([9, 9, 9])
    sizes = [len(values) for values in svm_grid().values()]
    assert all(values[0] > 0 and values == sorted(values) for values in svm_grid().values())
    assert len(tune_svm(X, y)) == np.prod(sizes)
    table = tune_svm(X, y, grid={"C": [1.0], "gamma": [0.7]})
    best = svm(**best_parameters(table))
    assert len(table) == np.prod(sizes[:2])
    assert best.get_params()["svc__gamma"] == 0.7


def test_one_category_is_a_sentence():
    X, y = np.eye(6, dtype=np.float32), np.zeros(6, int)
    for fit in (tune_svm, lambda X, y: repeated_splits(svm, X, y)):
        with pytest.raises(ArgumentError, match=r"^A classifier needs .* has 1 class: add photos"):
            fit(X, y)


def test_too_small_a_category_is_a_sentence():
    X, y = blobs([10, 2])
    with pytest.raises(ArgumentError, match=r"needs 3 training photos .* but one has 2:"):
        tune_svm(X, y)
    assert len(tune_svm(X, y, grid={"power": [1.0], "C": [1.0]}, n_folds=2)) == 3


@pytest.mark.parametrize("n", [50, 400])  # fewer photos than dimensions, and more
def test_projection_is_that_of_scikit_learns_pca(n):
    X, _ = blobs([n], noise=2)
    X = np.hstack([X, X[:, ::-1] ** 2, X[:, ::2] * X[:, 1::2]])  # 60 dimensions
    pca = PCA(0.8, svd_solver="full")
    expected = pca.fit_transform(X[:-10]), pca.transform(X[-10:])
    for ours, theirs in zip(project(clone(pca), X[:-10], X[-10:]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        assert ours.dtype == np.float32


def test_rounding_the_components_loses_nothing():
    X, y = blobs([60, 50, 40, 30], noise=1.2)
    train, test = split(y)
    forest = random_forest()
    rounded = forest.fit(X[train], y[train]).score(X[test], y[test])
    plain = make_pipeline(clone(forest[0]), clone(forest[-1])).fit(X[train], y[train])
    assert rounded == pytest.approx(plain.score(X[test], y[test]), abs=0.06)


# Repeated splits


def test_an_svm_is_fitted_through_its_kernel_and_other_models_are_not(monkeypatch):
    def through_kernel(*_):
        raise RuntimeError("through its kernel")

    monkeypatch.setattr(comparison, "fitted_through_kernel", through_kernel)
    X, y = blobs([12, 12])
    with pytest.raises(RuntimeError, match="through its kernel"):
        repeated_splits(svm, X, y, n_splits=1)
    assert len(repeated_splits(lambda: random_forest(n_estimators=5), X, y, n_splits=1)) == 1


def test_repeated_splits_are_the_labs_splits():
    X, y = blobs([10, 20, 30], noise=1.5)
    table = repeated_splits(svm, X, y, n_splits=3, seed=5)
    assert table["seed"].tolist() == [5, 6, 7]
    train, test = split(y, 6)
    right = svm().fit(X[train], y[train]).predict(X[test]) == y[test]
    assert table["accuracy"][1] == pytest.approx(right.mean())
    macro = np.mean([right[y[test] == c].mean() for c in range(3)])
    assert table["macro_accuracy"][1] == pytest.approx(macro)


def test_macro_accuracy_is_not_fooled_by_the_largest_category():
    X, y = blobs([80, 10, 10])
    table = repeated_splits(DummyClassifier, X, y, n_splits=2)
    np.testing.assert_allclose(table["accuracy"], 0.8)
    np.testing.assert_allclose(table["macro_accuracy"], 1 / 3)


# Learning curves and mistakes


def test_learning_curve_gives_each_category_its_photos():
    X, y = blobs([12, 20, 3], noise=1.0)
    seen = []

    class Spy(DummyClassifier):
        def fit(self, X, y):
            seen.append((X.copy(), np.bincount(y).tolist()))
            return super().fit(X, y)

    table = learning_curve(Spy, X, y, X, y, [1, 5], n_draws=2, seed=3)
    assert [counts for _, counts in seen] == [[1, 1, 1], [5, 5, 3]] * 2
    assert table["n"].tolist() == [3, 13, 3, 13]
    small, large, other = ({tuple(row) for row in seen[i][0]} for i in (0, 1, 2))
    assert small < large
    assert small != other


def test_learning_curve_climbs_to_the_full_score():
    X, y = blobs([40, 40, 40], noise=0.8)
    train, test = split(y)
    table = learning_curve(svm, X[train], y[train], X[test], y[test], [1, 99])
    assert table["draw"].tolist() == [0, 0, 1, 1]
    score = svm().fit(X[train], y[train]).score(X[test], y[test])
    by_size = table.groupby("photos")["accuracy"].mean()
    assert by_size[99] == pytest.approx(score, abs=0.05)  # the photos come in another order
    assert by_size[1] < by_size[99]


def test_confused_pairs_by_hand():
    y, predicted = np.array([0, 0, 1, 1, 1, 2]), np.array([1, 0, 2, 2, 1, 1])
    pairs = confused_pairs(y, predicted, ["ant", "bee", "cat"])
    assert pairs[["category", "taken_for", "mistakes"]].to_numpy().tolist() == [
        ["bee", "cat", 2],
        ["cat", "bee", 1],
        ["ant", "bee", 1],
    ]
    np.testing.assert_allclose(pairs["share"], [2 / 3, 1, 1 / 2])
    assert confused_pairs(y, y, ["ant", "bee", "cat"]).empty


def test_the_forest_counts_categories_alike():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [190, 10])
    X = rng.normal(size=(200, 8)).astype(np.float32) + 1.0 * y[:, None].astype(np.float32)
    forest = random_forest(n_estimators=50)[-1]
    assert forest.class_weight == "balanced"
    weights = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
    weighted = clone(forest).set_params(class_weight=dict(enumerate(weights))).fit(X, y)
    np.testing.assert_allclose(clone(forest).fit(X, y).predict_proba(X), weighted.predict_proba(X))


def test_another_pipeline_is_fitted_as_it_is():
    """Only the lab's own SVM and forest take the faster way."""
    X, y = blobs([30, 20, 25], noise=0.5)
    other = Pipeline([("z", StandardScaler()), ("tree", DecisionTreeClassifier(random_state=0))])
    train, test = split(y, 0)
    by_hand = (clone(other).fit(X[train], y[train]).predict(X[test]) == y[test]).mean()
    table = repeated_splits(lambda: clone(other), X, y, n_splits=1)
    assert table["accuracy"].item() == pytest.approx(by_hand)
    assert len(repeated_splits(lambda: clone(other), X, y)) == 5  # as reports say
