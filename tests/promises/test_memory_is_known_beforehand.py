"""Memory is known beforehand: a step says what it will take, or refuses with another way."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from caltech_lab.errors import MemoryLimitError
from caltech_lab.fast.linkage import linkage_bytes, linkage_matrix, linkage_peak_bytes
from caltech_lab.fast.silhouette import silhouette, silhouette_bytes
from caltech_lab.fast.tsne import tsne, tsne_bytes
from caltech_lab.storage import memory
from tools import series


def unit(n: int, d: int) -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(n, d))
    rows: np.ndarray = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    return rows


X = unit(300, 16)
CLUSTERS = np.stack([np.arange(300) % k for k in (5, 10)])

# Each step, what it says it takes, and the other way that it offers.
STEPS: dict[str, tuple[Callable[[], Any], int, str]] = {
    "linkage": (
        lambda: linkage_matrix(X),
        linkage_peak_bytes(300, 16),
        "cluster a sample of the photos",
    ),
    "silhouette": (
        lambda: silhouette(X, CLUSTERS),
        silhouette_bytes(300, 16, 15),
        "score a sample of the photos, or one clustering at a time",
    ),
    "t-SNE": (lambda: tsne(X), tsne_bytes(300), "draw a sample of the photos"),
}


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Let a test say how much memory is free."""
    faked = SimpleNamespace(available=10**15)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: faked)
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    return faked


@pytest.mark.parametrize("name", STEPS)
def test_what_does_not_fit_is_refused_with_another_way(name: str, free: SimpleNamespace) -> None:
    step, needed, instead = STEPS[name]
    free.available = needed - 1
    with pytest.raises(MemoryLimitError) as error:
        step()
    sentence = str(error.value)
    assert "300" in sentence
    assert "GiB of memory, but only" in sentence
    assert instead in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert ". " not in sentence.replace("caltech_lab.retrieval.index.Index", "")
    free.available = needed
    step()


@pytest.mark.parametrize("name", ["linkage", "silhouette"])
def test_the_refusal_comes_before_the_memory_is_taken(name: str, free: SimpleNamespace) -> None:
    step, needed, _ = STEPS[name]
    free.available = 0
    tracemalloc.start()
    try:
        with pytest.raises(MemoryLimitError):
            step()
        assert tracemalloc.get_traced_memory()[1] < needed / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", STEPS)
def test_what_takes_much_says_so(
    name: str,
    free: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step, needed, _ = STEPS[name]
    monkeypatch.setattr(memory, "WORTH_SAYING", needed + 1)
    step()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(memory, "WORTH_SAYING", needed)
    step()
    (line,) = capsys.readouterr().out.splitlines()
    assert f"needs about {needed / 2**30:,.1f} GiB of memory; 931,322.6 GiB are free." in line


PEAKS: dict[str, tuple[Callable[[], Any], int]] = {
    "linkage of many": (lambda: linkage_matrix(unit(3000, 16)), linkage_peak_bytes(3000, 16)),
    "linkage of wide": (lambda: linkage_matrix(unit(1200, 2048)), linkage_peak_bytes(1200, 2048)),
    "silhouette": (
        lambda: silhouette(unit(4000, 64), np.arange(4000) % 50),
        silhouette_bytes(4000, 64, 50),
    ),
    "silhouettes": (
        lambda: silhouette(unit(4000, 64), np.stack([np.arange(4000) % k for k in (90, 200)])),
        silhouette_bytes(4000, 64, 290),
    ),
    "silhouette of wide": (
        lambda: silhouette(unit(2500, 2048), np.arange(2500) % 9),
        silhouette_bytes(2500, 2048, 9),
    ),
    "t-SNE": (lambda: tsne(unit(2000, 16)), tsne_bytes(2000)),
    "t-SNE of low perplexity": (lambda: tsne(unit(2000, 16), 5), tsne_bytes(2000, 5)),
}


@pytest.mark.parametrize("name", PEAKS)
def test_the_estimate_covers_what_is_taken_and_not_much_more(name: str) -> None:
    step, estimate = PEAKS[name]
    tracemalloc.start()
    try:
        step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    vectors = 3 * {"wide": 2500 * 2048 * 8}.get(name.split()[-1], 0)  # made by `unit` itself
    assert peak <= max(estimate * 1.02, vectors)
    assert peak > estimate / 4


def test_linkage_of_caltech101_is_the_figure_of_the_notebook() -> None:
    assert linkage_bytes(8677) == 8677 * 8676 // 2 * 8
    assert 0.5e9 < linkage_peak_bytes(8677, 2048) < 0.7e9


# A container may have less than the machine


@pytest.mark.parametrize(
    ("limit", "used", "cache", "expected"),
    [
        ("4000\n", "1000\n", "anon 5\ninactive_file 300\n", 3300),
        ("4000\n", "5000\n", "inactive_file 0\n", 0),
        ("max\n", "1000\n", "inactive_file 300\n", 7000),
        ("9000\n", "1000\n", "inactive_file 0\n", 7000),
    ],
)
def test_the_limit_of_a_container_counts(
    free: SimpleNamespace, tmp_path: Path, limit: str, used: str, cache: str, expected: int
) -> None:
    free.available = 7000
    assert memory.free_bytes() == 7000
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    (tmp_path / "memory.stat").write_text(cache)
    assert memory.free_bytes() == expected


# The walkthrough is measured


def test_the_watch_sees_what_a_child_takes() -> None:
    with memory.watch(every=0.01) as peak:
        before = peak()
        code = "import time; a = bytearray(200_000_000); time.sleep(0.5)"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert 200e6 < peak() - before < 300e6


def test_a_notebook_that_takes_too_much_fails_the_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    cell = new_code_cell("a = bytearray(300_000_000)\nimport time\ntime.sleep(0.5)")
    path = tmp_path / "01_greedy.ipynb"
    path.write_text(nbformat.writes(new_notebook(cells=[cell])))
    monkeypatch.setattr(series, "notebooks", lambda: [path])
    monkeypatch.setenv("CALTECH_LAB_OUTPUTS", str(tmp_path / "outputs"))
    assert series.main(["walkthrough", "--limit", "0.25"]) == 1
    assert "more than 0.25" in capsys.readouterr().out
    assert series.main(["walkthrough", "--limit", "2"]) == 0
    assert "GB peak memory" in capsys.readouterr().out
