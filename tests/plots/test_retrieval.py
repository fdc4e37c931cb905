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


def texts(ax):
    legend = ax.get_legend()
    return [text.get_text() for text in [*ax.texts, *legend.get_texts()]]


def test_right_and_wrong_answers_share_bins_and_lose_nothing():
    similarities = np.array([[0.9, 0.8, 0.5], [0.7, 0.6, 0.4]], np.float32)
    relevant = np.array([[True, True, False], [True, False, False]])
    ax = retrieval.answer_similarities(similarities, relevant)
    assert texts(ax) == ["right (median 0.80)", "wrong (median 0.50)"]
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx([0.8, 0.5])
    outlines = [patch.get_xy() for patch in ax.patches]
    assert {(round(float(p[:, 0].min()), 4), round(float(p[:, 0].max()), 4)) for p in outlines} == {
        (0.4, 0.9)
    }


def test_answers_that_are_all_right_have_one_histogram():
    ax = retrieval.answer_similarities(np.array([[0.9, 0.8]], np.float32), np.ones((1, 2), bool))
    assert texts(ax) == ["right (median 0.85)"]


def test_precision_curves_start_at_one_answer_and_name_the_mark():
    ax = retrieval.precision_at_k({"micro": [1, 0.9, 0.8], "macro": [0.9, 0.7, 0.5]}, mark=2)
    curves = [line for line in ax.lines if len(line.get_xdata()) == 3]
    np.testing.assert_array_equal(curves[1].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(curves[1].get_ydata(), [0.9, 0.7, 0.5])
    assert texts(ax) == ["0.900", "0.700", "micro", "macro"]


def test_a_mark_beyond_the_curve_is_left_out():
    ax = retrieval.precision_at_k({"micro": [1.0, 0.9]}, mark=10)
    assert texts(ax) == ["micro"]


def test_the_worst_categories_of_the_first_score_are_named():
    scores = {"precision@10": [0.9, 0.2, 0.5], "recall@10": [0.1, 0.3, 0.2]}
    ax = retrieval.scores_by_size([31, 50, 800], scores, ["a", "b", "c"], named=2)
    assert [text.get_text() for text in ax.texts] == ["b", "c"]
    np.testing.assert_array_equal(
        ax.collections[1].get_offsets(), [[31, 0.1], [50, 0.3], [800, 0.2]]
    )
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["50", "100", "200", "400", "800"]


@pytest.mark.parametrize("most", [7, 200])
def test_each_photo_is_counted_once(most):
    counts = np.random.default_rng(0).integers(0, most, 500)
    counts[0] = most
    ax = retrieval.occurrences(counts, k=5)
    assert sum(bar.get_height() for bar in ax.patches) == 500
    assert ax.get_yscale() == "log"
    # Near the mean, chance puts most of the 500 photos, and never more than there are.
    assert 0 < ax.lines[0].get_ydata().sum() <= 500


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
