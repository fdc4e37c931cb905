"""Extraction: rows made once, kept under their photo's bytes, never used when stale."""

from pathlib import Path

import numpy as np
import pytest

from caltech_lab.datasets import folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding import extraction
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.extraction import extract
from caltech_lab.embedding.images import load_pixels
from caltech_lab.errors import CacheError, shown_name

PIXELS = backbone("pixels")


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "photos" / "pixels" / "features"


def expected_rows(photos: Photos) -> np.ndarray:
    rows = [load_pixels(photos.file(i), 32, "squash").ravel() / 255 for i in range(len(photos))]
    X = np.array(rows, np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def test_rows_are_unit_vectors_of_the_photos_in_order(photos: Photos, goal: Path) -> None:
    outcome = extract(photos, PIXELS, goal)
    embeddings = load(goal, photos)
    assert outcome.n_extracted == len(photos)
    assert embeddings.X.dtype == np.float32
    np.testing.assert_allclose(embeddings.X, expected_rows(photos), atol=1e-6)
    np.testing.assert_array_equal(np.load(goal / "labels.npy"), photos.labels)


def test_a_second_call_extracts_nothing_and_says_why_it_may(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    stamp = (goal / "embeddings.npy").stat().st_mtime_ns
    again = extract(photos, PIXELS, goal)
    assert again.n_extracted == 0
    assert "current" in again.why
    assert (goal / "embeddings.npy").stat().st_mtime_ns == stamp


def test_another_set_takes_over_the_rows_that_are_known(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    half = photos.subset(np.arange(0, len(photos), 2), "half")
    other = goal.parents[2] / "half" / "pixels" / "features"
    outcome = extract(half, PIXELS, other)
    assert (outcome.n_extracted, outcome.n_reused) == (0, len(half))
    np.testing.assert_array_equal(load(other, half).X, load(goal, photos).X[::2])


def test_an_interrupted_run_goes_on_where_it_stopped(
    photos: Photos, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_later(path: Path, *arguments: object, **options: object) -> np.ndarray:
        if path == photos.file(len(photos) - 1):
            raise KeyboardInterrupt
        return load_pixels(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(extraction, "load_pixels", fails_later)
    with pytest.raises(KeyboardInterrupt):
        extract(photos, PIXELS, goal)
    assert not (goal / "identity.json").exists()
    monkeypatch.undo()
    outcome = extract(photos, PIXELS, goal)
    assert 0 < outcome.n_extracted < len(photos)
    np.testing.assert_allclose(load(goal, photos).X, expected_rows(photos), atol=1e-6)
    assert not (goal / "journal.rows").exists()


def test_a_torn_record_in_the_journal_is_dropped(tmp_path: Path) -> None:
    recipe = extraction.ExtractionConfig("pixels", "none", "squash", "f32")
    shas = [f"{i:064x}" for i in range(3)]
    with extraction.Journal(tmp_path / "journal.rows", recipe, 4) as journal:
        for i, sha in enumerate(shas):
            journal.append(sha, np.full(4, i, np.float32))
    with open(tmp_path / "journal.rows", "rb+") as file:
        file.truncate(file.seek(0, 2) - 5)
    with extraction.Journal(tmp_path / "journal.rows", recipe, 4) as journal:
        assert list(journal.rows()) == shas[:2]
        journal.append(shas[2], np.full(4, 7, np.float32))
        assert journal.rows()[shas[2]].tolist() == [7, 7, 7, 7]


def test_a_journal_of_another_recipe_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.rows"
    with extraction.Journal(
        path, extraction.ExtractionConfig("pixels", "a", "s", "f32"), 4
    ) as journal:
        journal.append("0" * 64, np.zeros(4, np.float32))
    with extraction.Journal(
        path, extraction.ExtractionConfig("pixels", "b", "s", "f32"), 4
    ) as journal:
        assert not journal.rows()


def test_copies_of_a_photo_are_extracted_once(photos: Photos, goal: Path) -> None:
    copy = photos.file(0).with_name("zz copy.jpg")
    copy.write_bytes(photos.file(0).read_bytes())
    more = folder.scan(photos.root)
    assert extract(more, PIXELS, goal).n_extracted == len(photos)
    assert len(load(goal, more)) == len(photos) + 1


def test_each_of_identical_files_that_cannot_be_read_is_named(photos: Photos, goal: Path) -> None:
    bad = [photos.file(0).with_name(name) for name in ("bad.jpg", "bad\tcopy.jpg")]
    for path in bad:
        path.write_bytes(b"")
    failed = extract(folder.scan(photos.root), PIXELS, goal).failed
    told = {f"{shown_name(path)} is empty: copy or download it again." for path in bad}
    assert {*failed.values()} == told


def test_a_full_disk_is_a_sentence(
    photos: Photos, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extraction.os, "fsync", no_space)
    with pytest.raises(CacheError, match=r"^No space is left for .*\.$"):
        extract(photos, PIXELS, goal)
