"""The package's estimators follow scikit-learn's conventions, and its docstrings tell the truth."""

import doctest
import importlib
import inspect
import pkgutil
import sys
from types import ModuleType
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import caltech_lab

# Importing these runs something, or needs an extra.
LEFT_OUT = (
    "caltech_lab.__main__", "caltech_lab.embedding.clip", "caltech_lab.embedding.timm_models",
)  # fmt: skip


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(caltech_lab.__path__, "caltech_lab.")
    return [importlib.import_module(m.name) for m in found if m.name not in LEFT_OUT]


def estimators() -> list[Any]:
    """Return one of each estimator that the package defines, wherever it does."""
    classes = {
        kind
        for module in modules()
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, BaseEstimator)
        and kind.__module__ == module.__name__
    }
    return [kind() for kind in sorted(classes, key=lambda kind: kind.__name__)]


def test_there_are_estimators_to_check() -> None:
    assert "PowerNormalizer" in {type(estimator).__name__ for estimator in estimators()}


@pytest.mark.usefixtures("one_thread")
@parametrize_with_checks(estimators())
def test_scikit_learn_takes_our_estimators_for_its_own(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_true(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_each_module_can_be_the_first_that_is_imported() -> None:
    """No two modules wait for each other; libraries stay imported, or it would take minutes."""
    names, ours = [module.__name__ for module in modules()], forget_the_package()
    try:
        for name in names:
            forget_the_package()
            importlib.import_module(name)
    finally:
        forget_the_package()
        sys.modules.update(ours)


def forget_the_package() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "caltech_lab"]
    return {name: sys.modules.pop(name) for name in names}


def test_there_are_examples_to_run() -> None:
    assert sum(doctest.testmod(module).attempted for module in modules()) >= 15
