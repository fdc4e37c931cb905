"""Calibrated probabilities of a support vector machine."""

import inspect

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import make_blobs
from sklearn.model_selection import StratifiedKFold

from caltech_lab.classification.probabilities import (
    _smallest_margins,
    best_temperature,
    margins,
    out_of_fold_margins,
)
from caltech_lab.classification.svm import CalibratedSVM, svm
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.kernel_svm import predictions


def blobs(n_categories, spread, seed=0):
    X, y = make_blobs(
        900, centers=np.eye(n_categories, 12) * 4, cluster_std=spread, random_state=seed
    )
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), y.astype(np.int64)


@pytest.mark.parametrize("n_categories", [2, 3, 6])
def test_probabilities_are_calibrated(n_categories):
    X, y = blobs(n_categories, 1.9)
    model = CalibratedSVM(power=1.0).fit(X[:450], y[:450])
    P = model.predict_proba(X[450:])
    assert P.shape == (450, n_categories)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    predicted = model.classes_[P.argmax(axis=1)]
    assert (predicted == model.predict(X[450:])).mean() > 0.97
    accuracy = (predicted == y[450:]).mean()
    assert 0.5 < accuracy < 0.99  # else there is nothing to calibrate
    assert P.max(axis=1).mean() == pytest.approx(accuracy, abs=0.06)


def test_scores_are_the_margins_over_the_strongest_rival():
    X, y = blobs(4, 1.2)
    model = svm(power=1.0).fit(X, y)
    M = margins(model, X[:20])
    assert model[-1].decision_function_shape == "ovr"  # the model is left as it was
    pairs = (
        model[-1]
        .set_params(decision_function_shape="ovo")
        .decision_function(model[:-1].transform(X[:20]))
    )
    names = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    for row, found in zip(pairs, M, strict=True):
        beats = dict(zip(names, row, strict=True))
        beats |= {(j, i): -value for (i, j), value in beats.items()}
        expected = [min(beats[i, j] for j in range(4) if j != i) for i in range(4)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_smallest_margins_by_hand():
    decisions = np.array([[1.0, -2.0, 3.0]])  # 0 against 1, 0 against 2, 1 against 2
    assert _smallest_margins(decisions).tolist() == [[-2, -1, -3]]
    assert _smallest_margins(np.array([0.5])).tolist() == [[-0.5, 0.5]]


def test_the_best_temperature_by_hand():
    # Of four photos with a difference of 2, three are right: 1 / (1 + exp(-2 / T)) = 3 / 4.
    found = best_temperature(np.tile([-1.0, 1.0], (4, 1)), np.array([9, 9, 4, 9]))
    assert found == pytest.approx(2 / np.log(3), rel=1e-4)


def test_probabilities_are_the_softmax_of_margins_over_the_temperature():
    X, y = blobs(3, 1.9)
    model = CalibratedSVM(power=1.0).fit(X[:90], y[:90])
    expected = softmax(margins(model.svm_, X[90:]) / model.temperature_, axis=1)
    np.testing.assert_allclose(model.predict_proba(X[90:]), expected)


def test_margins_of_each_fold_are_those_of_a_model_fitted_without_it():
    X, y = blobs(3, 1.9)
    X, y = X[:90], y[:90]
    found = out_of_fold_margins(svm(power=1.0), X, y, seed=5, n_folds=4)
    for fit, held in StratifiedKFold(4, shuffle=True, random_state=5).split(X, y):
        expected = margins(svm(power=1.0).fit(X[fit], y[fit]), X[held])
        # libsvm stops at 1e-3, where exactly depends on the processor.
        np.testing.assert_allclose(found[held], expected, rtol=0, atol=2e-3)


def test_calibration_needs_photos_for_its_folds():
    X, y = blobs(3, 1.0)
    few = np.r_[np.flatnonzero(y == 0)[:2], np.flatnonzero(y == 1)]
    with pytest.raises(ArgumentError, match="3 training photos"):
        CalibratedSVM().fit(X[few], y[few])


def test_predictions_by_matrix_products_are_those_of_the_model(monkeypatch):
    X, y = blobs(5, 1.9)
    model = svm(power=1.0).fit(X[:450], y[:450])
    monkeypatch.setattr("caltech_lab.fast.kernel_svm.ROWS", 100)  # in several blocks
    found = predictions(model, X[450:])
    np.testing.assert_array_equal(found, model.predict(X[450:]))
    assert len(np.unique(found)) == 5


def test_the_defaults_are_those_of_the_documentation():
    defaults = {"power": 0.5, "n_components": 0.95, "C": 3.0, "gamma": 1.0}
    model = CalibratedSVM()
    assert model.get_params() == defaults | {"n_folds": 3, "random_state": 0}
    arguments = inspect.signature(svm).parameters.values()
    assert {argument.name: argument.default for argument in arguments} == defaults
