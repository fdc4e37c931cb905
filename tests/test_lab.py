"""The front door: what is made on demand, and what is kept."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.model_selection import train_test_split

from caltech_lab.datasets.photos import Photos
from caltech_lab.datasets.splits import left_out, split
from caltech_lab.embedding.backbones import backbone
from caltech_lab.errors import ArgumentError, DatasetError, LabError
from caltech_lab.lab import Lab, open_lab
from caltech_lab.metrics.retrieval import retrieval_scores
from caltech_lab.report.cached_scores import cached_retrieval_scores
from caltech_lab.settings import settings


@pytest.fixture
def lab(photos: Photos, environment: pytest.MonkeyPatch) -> Lab:
    return Lab(photos, backbone("pixels"))


def test_importing_the_package_takes_no_time_and_no_torch() -> None:
    code = (
        "import sys, caltech_lab; print(sorted({'torch', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_opening_lines_name_photos_backbone_outputs_and_seed(lab: Lab) -> None:
    lines = str(lab).splitlines()
    assert [line.split()[0] for line in lines] == ["Photos", "Backbone", "Outputs", "Seed"]


def test_the_opening_lines_are_four_whatever_the_names(
    photos: Photos, environment: pytest.MonkeyPatch
) -> None:
    home = Path(photos.root.anchor)
    now = replace(settings(), home=home, outputs=photos.root / "out\x1b")
    environment.setattr("caltech_lab.lab.settings", lambda: now)
    odd = replace(photos, name="x\ny", origin="9 photos of two\nlines\x1b[2J")
    lines = str(Lab(odd, backbone("pixels"))).split("\n")
    assert len(lines) == 4
    assert lines[0].endswith(r"9 photos of two\nlines\x1b[2J.")
    assert lines[2].endswith(rf" {photos.root.as_posix()}/out\x1b/x\ny/pixels/")


def test_a_folder_of_folders_can_be_opened_and_a_wrong_one_is_a_sentence(
    photos: Photos, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert len(open_lab(str(photos.root), "pixels").photos) == len(photos)
    with pytest.raises(DatasetError, match=r"^There is no folder .*\.$"):
        open_lab(str(tmp_path / "nothing"), "pixels")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"^No photos were found .*\.$"):
        open_lab(str(tmp_path / "empty"), "pixels")


def test_what_was_fitted_is_kept_and_fitted_again_for_other_embeddings(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def fit(X: np.ndarray, k: int) -> KMeans:
        calls.append(1)
        return KMeans(k, n_init=1, random_state=0).fit(X)

    X, name = lab.embeddings.X, "models/some.skops"
    first = lab.cached(name, fit, X, k=3)
    second = lab.cached(name, fit, X, k=3)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.labels_, second.labels_)
    identity = lab.embeddings.identity | {"embeddings_sha256": "other"}
    other = Lab(lab.photos, lab.backbone)
    vars(other)["_embedded"] = replace(lab.embeddings, identity=identity), lab.extraction
    other.cached(name, fit, X, k=3)
    assert len(calls) == 2


def test_models_of_the_series_are_made_on_demand(lab: Lab) -> None:
    X, y = lab.embeddings.X, lab.embeddings.y
    assert len(lab.kmeans(5).labels_) == len(X)
    assert lab.linkage().shape == (len(X) - 1, 4)
    assert len(lab.index()) == len(X)
    assert lab.svm().predict(X).shape == y.shape
    assert lab.random_forest().predict(X).shape == y.shape
    kept = {path.name for path in lab.folder("models/classifier").glob("[!.]*")}
    files = {"svm_grid.parquet", "svm_rbf.skops", "random_forest.skops"}
    assert kept == files | {f"{file}.json" for file in files}


def test_opening_and_printing_a_lab_makes_no_folder_and_reads_no_weights(
    photos: Photos, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab = Lab(photos, replace(backbone("pixels"), weights=lambda: pytest.fail("weights were read")))
    assert "pixels" in str(lab)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("setting", ["leave_one_out", "held_out"])
def test_retrieval_scores_are_kept_and_measured_again_for_other_embeddings(
    lab: Lab, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = lab.embeddings.X, lab.embeddings.y
    train, test = lab.split()
    asked = {"queries": X[test], "query_labels": y[test]}
    expected = {
        "leave_one_out": lambda k: retrieval_scores(X, y, k=k),
        "held_out": lambda k: retrieval_scores(X[train], y[train], **asked, k=k),
    }[setting]
    first = cached_retrieval_scores(lab, setting)
    with monkeypatch.context() as patched:
        again = lambda *a, **k: pytest.fail("measured again")  # noqa: E731
        patched.setattr("caltech_lab.report.cached_scores.retrieval_scores", again)
        second = cached_retrieval_scores(lab, setting)
    for scores, k in ((first, 10), (second, 10), (cached_retrieval_scores(lab, setting, 3), 3)):
        for name, value in vars(expected(k)).items():
            np.testing.assert_array_equal(getattr(scores, name), value)
            assert np.asarray(getattr(scores, name)).dtype == np.asarray(value).dtype
    embeddings, first_report = lab.embeddings, lab.extraction
    identity = embeddings.identity | {"embeddings_sha256": "other"}
    other = replace(embeddings, X=np.ascontiguousarray(X[:, ::2]), identity=identity)
    lab = Lab(lab.photos, lab.backbone)
    vars(lab)["_embedded"] = other, first_report
    changed = cached_retrieval_scores(lab, setting)
    assert changed.mean("precision") != first.mean("precision")


def test_the_split_is_stratified_seeded_and_whole() -> None:
    y = np.repeat([0, 1, 2], [50, 30, 20])
    train, test = split(y, seed=1)
    assert sorted([*train, *test]) == list(range(100))
    np.testing.assert_array_equal(np.bincount(y[test]), [10, 6, 4])
    np.testing.assert_array_equal(test, split(y, seed=1)[1])
    assert not np.array_equal(test, split(y, seed=2)[1])


def test_categories_that_are_too_small_are_left_out_of_the_split() -> None:
    y = np.repeat([0, 1, 2, 3], [5, 4, 6, 1])
    train, test = split(y, seed=3)
    assert sorted([*train, *test]) == np.flatnonzero((y == 0) | (y == 2)).tolist()
    # Whatever the sizes, each category has a photo for each of three folds, and one to be tested.
    for sizes in ([5, 5], [5, 6], [5] * 7 + [8], [5, 100], [6, 7, 9, 5]):
        y = np.repeat(np.arange(len(sizes)), sizes)
        train, test = split(y)
        assert min(np.bincount(y[train])) >= 3
        assert min(np.bincount(y[test], minlength=len(sizes))) >= 1
    for y in (np.array([0] * 20 + [1]), np.zeros(9, int)):
        with pytest.raises(ArgumentError, match=r"two categories of 5 photos or more, .* has 1: "):
            split(y)


def test_what_is_left_out_is_named_in_one_sentence() -> None:
    names = [f"c{i}" for i in range(10)]
    end = ": a classifier needs 5 photos per category."
    assert left_out(np.repeat([0, 1], 5), names) == ""
    assert left_out(np.repeat([0, 1], [5, 3]), names) == f"`c1` has 3 photos and is left out{end}"
    told = "`c0` (1) and `c1` (2) have too few photos and are left out"
    assert left_out(np.repeat([0, 1], [1, 2]), names) == told + end
    told = "`c0` (1), `c1` (1), `c2` (1), `c3` (1) and 6 others have too few photos"
    assert left_out(np.arange(10), names) == f"{told} and are left out{end}"


def test_the_split_of_large_categories_is_scikit_learns() -> None:
    y = np.random.default_rng(0).integers(0, 6, 400)
    parts = train_test_split(np.arange(400), test_size=0.2, random_state=7, stratify=y)
    for rows, expected in zip(split(y, 7), parts, strict=True):
        np.testing.assert_array_equal(rows, np.sort(expected))


def test_a_fault_shows_as_its_sentence_in_a_notebook() -> None:
    assert LabError("Say this.")._render_traceback_() == ["LabError: Say this."]


def test_absurd_labels_of_held_out_photos_change_no_model(lab: Lab) -> None:
    embeddings, (train, test) = lab.embeddings, lab.split()
    kept = lab.svm(), lab.random_forest()
    labels = embeddings.photos.table["category"].to_numpy().copy()
    labels[test] = np.roll(labels[test], 5)
    photos = replace(embeddings.photos, table=embeddings.photos.table.assign(category=labels))
    identity = embeddings.identity | {"items_sha256": "other"}
    other = Lab(photos, lab.backbone)
    vars(other)["_embedded"] = replace(embeddings, photos=photos, identity=identity), lab.extraction
    vars(other)["split"] = lambda: (train, test)
    assert not np.array_equal(other.embeddings.y, embeddings.y)
    for before, after in zip(kept, (other.svm(), other.random_forest()), strict=True):
        P = before.predict_proba(embeddings.X)
        np.testing.assert_array_equal(after.predict_proba(embeddings.X), P)
    assert kept[0].temperature_ == other.svm().temperature_
