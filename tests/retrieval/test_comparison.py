"""The comparison of indexes: recall against the first of them, and time per query."""

from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from caltech_lab.retrieval import comparison
from caltech_lab.retrieval.comparison import compare_indexes
from caltech_lab.retrieval.index import Index


@pytest.fixture(name="X", scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(30, 256)) @ np.diag(1 / np.arange(1, 257))
    X = np.maximum(0.2 + np.repeat(centers, 40, axis=0) + rng.normal(0, 0.03, (1200, 256)), 0)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def test_indexes_are_compared_with_the_first(X):
    worse = faiss.IndexPQ(256, 4, 4, faiss.METRIC_INNER_PRODUCT)
    worse.train(X)
    worse.add(X)
    indexes = {"exact": Index(X), "PQ": Index.from_faiss(worse)}
    table = compare_indexes(indexes, X[:40], k=5, rounds=2)
    assert list(table.index) == ["exact", "PQ"]
    assert table["recall"]["exact"] == 1
    exact, found = (index.search(X[:40], 5)[1] for index in indexes.values())
    shared = [np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]
    assert table["recall"]["PQ"] == pytest.approx(np.mean(shared))
    assert table["recall"]["PQ"] < 0.9
    assert table["bytes"]["exact"] == pytest.approx(4 * 256, rel=0.001)
    assert (table[["single_ms", "batch_ms"]] > 0).all(axis=None)


def test_times_are_medians_per_query_of_rounds_in_turn(X, monkeypatch):
    now, turns = [0.0], []
    monkeypatch.setattr(comparison, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Timed(Index):
        """Takes known seconds, per single query and for each batch in turn."""

        def takes(self, name, single, batches):
            self.name, self.single, self.batches = name, single, batches
            return self

        def search(self, queries, *options):
            turns.append((self.name, queries.ndim))
            now[0] += self.single if queries.ndim == 1 else self.batches.pop(0)
            return super().search(queries, *options)

    indexes = {  # batches of nine seconds are for the recall, and are not timed
        "a": Timed(X).takes("a", 0.002, [9, 9, 0.06, 0.03, 0.9]),
        "b": Timed(X).takes("b", 0.005, [9, 0.12, 0.15, 0.09]),
    }
    table = compare_indexes(indexes, X[:30], k=3, rounds=3)
    assert table["single_ms"].tolist() == pytest.approx([2, 5])
    assert table["batch_ms"].tolist() == pytest.approx([1000 * 0.06 / 30, 1000 * 0.12 / 30])
    turn = [[(name, 1)] * 20 + [(name, 2)] for name in "ab"]
    assert turns[3:] == (turn[0] + turn[1]) * 3  # after the three searches for the recall
