"""Embeddings: nothing is taken for a matrix of unit vectors, or for these photos', that is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caltech_lab.datasets import folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import Embeddings, load
from caltech_lab.embedding.extraction import extract
from caltech_lab.errors import ArgumentError, CacheError

FRAME = pd.DataFrame({"path": ["a", "b"], "x0": [0.6, 1.0], "x1": [0.8, 0.0]})


@pytest.mark.parametrize("length", [0.5, 0.99, 1.01, 1.5, np.nan, np.inf])
def test_a_row_of_another_length_is_refused(length: float) -> None:
    with pytest.raises(ArgumentError, match="rows of unit length"):
        Embeddings.from_frame(FRAME.assign(x0=[0.6, length]))


@pytest.mark.parametrize("length", [0, 0.9995, 1, 1.0005])
def test_a_row_of_zeros_and_a_rounded_one_are_taken(length: float) -> None:
    assert Embeddings.from_frame(FRAME.assign(x0=[0.6, length])).X[1, 0] == np.float32(length)


def test_rows_of_two_lengths_in_one_column_are_refused() -> None:
    frame = pd.DataFrame({"path": ["a", "b"], "embedding": [[1.0], [0.6, 0.8]]})
    with pytest.raises(ArgumentError, match="as many in each row"):
        Embeddings.from_frame(frame)


def test_columns_are_taken_by_their_number() -> None:
    row = np.float32(np.arange(12) / np.linalg.norm(np.arange(12)))
    frame = pd.DataFrame([row], columns=[f"x{i}" for i in range(12)]).assign(path="a")
    np.testing.assert_array_equal(Embeddings.from_frame(frame[sorted(frame)]).X[0], row)


def one_changed(photos: Photos) -> None:
    photos.file(0).write_bytes(photos.file(1).read_bytes())


def one_gone(photos: Photos) -> None:
    photos.file(0).unlink()


def one_more(photos: Photos) -> None:
    photos.file(0).with_name("more.jpg").write_bytes(photos.file(0).read_bytes())


def two_exchanged(photos: Photos) -> None:
    first, second = photos.file(0), photos.file(1)
    bytes_of_first = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(bytes_of_first)


@pytest.mark.parametrize("change", [one_changed, one_gone, one_more, two_exchanged])
def test_the_embeddings_of_other_photos_are_not_loaded(
    photos: Photos, tmp_path: Path, change: Callable[[Photos], None]
) -> None:
    goal = tmp_path / "outputs" / "photos" / "pixels" / "features"
    extract(photos, backbone("pixels"), goal)
    assert len(load(goal, folder.scan(photos.root))) == len(photos)
    change(photos)
    with pytest.raises(CacheError, match="are of other photos: extract them again"):
        load(goal, folder.scan(photos.root))


def test_a_photo_that_could_not_be_read_has_no_row(photos: Photos, tmp_path: Path) -> None:
    whole = tmp_path / "outputs" / "whole" / "pixels" / "features"
    extract(photos, backbone("pixels"), whole)
    assert load(whole, photos).photos is photos
    photos.file(1).write_bytes(b"no photo")
    damaged = folder.scan(photos.root)
    goal = tmp_path / "outputs" / "photos" / "pixels" / "features"
    extract(damaged, backbone("pixels"), goal)
    embeddings = load(goal, damaged)
    assert embeddings.photos.table["path"].tolist() == damaged.table["path"].drop(1).tolist()
    np.testing.assert_array_equal(embeddings.X, np.delete(load(whole, photos).X, 1, axis=0))
