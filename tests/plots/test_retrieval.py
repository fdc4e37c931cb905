"""The figures of retrieval show the numbers that they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from caltech_lab.plots import retrieval


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_the_worst_categories_of_the_first_score_are_named():
    scores = {"precision@10": [0.9, 0.2, 0.5], "recall@10": [0.1, 0.3, 0.2]}
    ax = retrieval.scores_by_size([31, 50, 800], scores, ["a", "b", "c"], named=2)
    assert [text.get_text() for text in ax.texts] == ["b", "c"]
    np.testing.assert_array_equal(
        ax.collections[1].get_offsets(), [[31, 0.1], [50, 0.3], [800, 0.2]]
    )
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["50", "100", "200", "400", "800"]
