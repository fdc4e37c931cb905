"""The figures of clusters: drawn where they are told to, with labels, of what they are given."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from caltech_lab.plots import clustering as figures

TREE = np.array([[0, 1, 1, 2], [2, 3, 2, 2], [4, 5, 7, 4]], dtype=np.float64)
COUNTS = pd.DataFrame([[5, 0, 1, 2], [0, 30, 0, 0]], columns=["ant", "bee", "cat", "dog"])

FIGURES = {
    "cluster_contents": lambda ax: figures.cluster_contents(COUNTS, ax=ax),
    "dendrogram": lambda ax: figures.dendrogram(TREE, ["oak", "elm", "carp", "pike"], ax=ax),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_draws_on_its_own_and_on_given_axes(name):
    own = FIGURES[name](None)
    assert own.get_xlabel()
    given = plt.subplots()[1]
    assert FIGURES[name](given) is given
    assert given.figure is not own.figure
    assert given.has_data()
    given.figure.canvas.draw()


def test_contents_name_the_most_frequent_and_add_up():
    ax = figures.cluster_contents(COUNTS, named=2)
    assert [text.get_text() for text in ax.texts] == ["ant 5, dog 2", "bee 30"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "1"]
    ends = {bar.get_y(): bar.get_x() + bar.get_width() for bar in ax.patches}
    assert sorted(ends.values()) == [8, 30]


def test_dendrogram_names_things_and_branches():
    ax = figures.dendrogram(TREE, ["oak", "elm", "carp", "pike"])
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert {*names[:2]} in ({"oak", "elm"}, {"carp", "pike"})
    assert {*names} == {"oak", "elm", "carp", "pike"}
    ax = figures.dendrogram(TREE, ["tree", "tree", "carp", "pike"], leaves=3)
    names = {tick.get_text() for tick in ax.get_yticklabels()}
    assert names == {"tree 2 of 2", "carp", "pike"}
