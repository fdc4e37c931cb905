"""The figures of retrieval show the numbers that they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
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


def test_growth_draws_each_index_in_each_panel():
    table = pd.DataFrame(
        {
            "index": ["Flat", "HNSW"] * 2,
            "vectors": [10, 10, 1000, 1000],
            "recall": [1, 0.9, 1, 0.8],
            "query_ms": [1, 0.1, 100, 0.2],
            "build_s": [1, 5, 2, 50],
            "bytes_per_vector": [1024, 1200, 1024, 1200],
        }
    )
    figure = retrieval.index_growth(table)
    assert len(figure.axes) == 4
    recall = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert recall == {"Flat": [1, 1], "HNSW": [0.9, 0.8]}
    assert {ax.get_xscale() for ax in figure.axes} == {"log"}
