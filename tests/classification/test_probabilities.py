"""Calibrated probabilities of a support vector machine."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from caltech_lab.classification.probabilities import margins
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
    plain = svm()
    assert plain[-1].get_params()["C"] == defaults["C"]
    assert plain[-1].get_params()["gamma"] == defaults["gamma"]
    assert plain[1].get_params()["n_components"] == defaults["n_components"]
