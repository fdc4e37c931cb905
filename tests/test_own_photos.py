"""Somebody's own folder: odd names, links, no labels, growth; and what goes to other programs."""

import os
import time
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import cross_val_score

from caltech_lab.classification.svm import svm
from caltech_lab.datasets import folder, open_photos
from caltech_lab.datasets.photos import Photos
from caltech_lab.datasets.splits import split
from caltech_lab.embedding import exports
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import Embeddings, load
from caltech_lab.embedding.extraction import extract
from caltech_lab.errors import ArgumentError, DatasetError
from caltech_lab.lab import Lab
from caltech_lab.report.cached_scores import cached_clustering_scores
from caltech_lab.report.final_report import final_report
from caltech_lab.retrieval.index import Index

PIXELS = backbone("pixels")


def photo(path: Path, color: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(color).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def paths(photos: Photos) -> list[str]:
    return photos.table["path"].tolist()


def embedded(photos: Photos, place: Path) -> Embeddings:
    goal = place / photos.name / "pixels" / "features"
    extract(photos, PIXELS, goal)
    return load(goal, photos)


# ---- scanning --------------------------------------------------------------------------------


def test_names_of_any_kind_are_taken(tmp_path: Path) -> None:
    names = [
        "with space/a b.png",
        "猫/三毛.png",
        "e\u0301/é.png",
        'quo"te,/new\nline.png',
        "re\rturn/both\r\n.png",
        "NA/1.PNG",
        "tab\tand/\x1b[2J\u2028.png",
        os.fsdecode(b"b\xff/\xc3.png"),
        "Case/1.png",
        "case/1.png",
        f"{'n' * 251}/{'é' * 125}.png",
    ]
    for number, name in enumerate(names):
        photo(tmp_path / "photos" / name, number)
    photos = folder.scan(tmp_path / "photos")
    assert sorted(paths(photos)) == sorted(names)
    embeddings = embedded(photos, tmp_path / "out")
    assert len(embeddings) == len(names)
    assert embeddings.photos.table["path"].tolist() == paths(photos)
    some = photos.subset(np.arange(3), "some")
    goal = tmp_path / "out" / "some" / "pixels" / "features"
    assert extract(some, PIXELS, goal).n_reused == 3


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        photo(tmp_path / name)
    photos = folder.scan(tmp_path)
    assert paths(photos) == ["a.png", "b.png"]
    assert not photos.labeled
    assert photos.categories == []
    assert photos.labels.tolist() == [-1, -1]
    with pytest.raises(DatasetError, match=r"^Training needs categories, and .* has none: .*\.$"):
        photos.check_labels("Training")
    with pytest.raises(ArgumentError, match="need categories"):
        split(embedded(photos, tmp_path / "out").y)


def test_photos_beside_sub_folders_are_left_out_and_told(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "deep" / "er" / "1.png")
    photo(tmp_path / "b" / "2.png")
    photo(tmp_path / "stray.png")
    photos = folder.scan(tmp_path)
    assert paths(photos) == ["a/deep/er/1.png", "b/2.png"]
    assert photos.labeled
    assert "1 beside the sub-folders left out" in photos.origin


def test_links_are_followed_once_and_never_in_circles(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    photo(root / "a" / "1.png")
    photo(other / "deep" / "2.png")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "out").symlink_to(tmp_path)  # the root lies in it
    (root / "b").symlink_to(other)
    (root / "c").symlink_to(other)
    (other / "back").symlink_to(root)
    (other / "deep" / "round").symlink_to(other)
    (root / "a" / "again.png").symlink_to(root / "a" / "1.png")
    (root / "a" / "broken.png").symlink_to(root / "nothing.png")
    photo(tmp_path / "lone.png")
    (root / "a" / "lone.png").symlink_to(tmp_path / "lone.png")
    (root / "a" / "loop").symlink_to(root / "a" / "loop")
    assert paths(folder.scan(root)) == ["a/1.png", "a/lone.png", "b/deep/2.png"]


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    photo(tmp_path / "real" / "a" / "1.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert paths(folder.scan(tmp_path / "link")) == ["a/1.png"]


def test_many_photos_are_scanned_in_seconds(tmp_path: Path) -> None:
    """20,000 here; listing 100,000 took 1.5 s where this was written."""
    first = photo(tmp_path / "0" / "0.png")
    for number in range(1, 20_000):
        (tmp_path / str(number % 20)).mkdir(exist_ok=True)
        os.link(first, tmp_path / str(number % 20) / f"{number}.png")
    began = time.perf_counter()
    assert len(folder.scan(tmp_path)) == 20_000
    assert time.perf_counter() - began < 10


def test_only_files_that_changed_are_read_again(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "photos"
    for number in range(4):
        photo(root / "a" / f"{number}.png", number)
    read: list[Path] = []
    hash_files = folder.hash_files

    def counted(files: list[Path], desc: str | None = None) -> list[str]:
        read.extend(files)
        return hash_files(files, desc)

    environment.setattr(folder, "hash_files", counted)
    environment.setattr(folder, "SETTLED", -1.0)
    first = open_photos(str(root))
    assert len(read) == 4
    read.clear()
    assert open_photos(str(root)).sha256 == first.sha256
    assert read == []
    photo(root / "a" / "1.png", 99)
    photo(root / "a" / "new.png", 5)
    (root / "a" / "0.png").unlink()
    changed = open_photos(str(root))
    assert [path.name for path in read] == ["1.png", "new.png"]
    assert changed.sha256 == folder.scan(root).sha256


def test_a_file_written_a_moment_ago_is_not_trusted(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "photos" / "a" / "0.png", 1)
    first = open_photos(str(tmp_path / "photos"))
    record = next((tmp_path / "outputs").glob("*/photos.parquet"))
    assert len(pd.read_parquet(record)) == 0
    assert open_photos(str(tmp_path / "photos")).sha256 == first.sha256


# ---- growth ----------------------------------------------------------------------------------


def test_adding_photos_gives_what_extracting_all_gives(photos: Photos, tmp_path: Path) -> None:
    everything = embedded(photos, tmp_path / "all")
    early = everything.subset(np.arange(0, len(photos), 2))
    index = Index(early.X)
    later = early.add(photos)
    assert index.add(later.X) == len(photos) - len(early)
    assert index.add(later.X) == 0
    assert later.photos.table.index.tolist() == list(range(len(photos)))
    order = {path: row for row, path in enumerate(paths(everything.photos))}
    rows = [order[path] for path in paths(later.photos)]
    np.testing.assert_array_equal(later.X, everything.X[rows])
    np.testing.assert_array_equal(later.y, everything.y[rows])
    anew = faiss.serialize_index(Index(later.X).faiss)
    np.testing.assert_array_equal(faiss.serialize_index(index.faiss), anew)
    again = embedded(later.photos, tmp_path / "again")
    assert again.identity == later.identity
    with pytest.raises(ArgumentError, match="make a new one"):
        index.add(early.X)


def test_photos_of_another_folder_can_be_added(photos: Photos, tmp_path: Path) -> None:
    photo(tmp_path / "elsewhere" / "zebra" / "1.png")
    photo(tmp_path / "elsewhere" / "yak" / "2.png", 1)
    (tmp_path / "elsewhere" / "zebra" / "bad.png").write_bytes(b"no photo")
    early = embedded(photos, tmp_path / "out")
    later = early.add(folder.scan(tmp_path / "elsewhere"))
    assert len(later) == len(early) + 2
    assert later.photos.file(len(early) + 1).resolve() == tmp_path / "elsewhere/zebra/1.png"
    assert later.categories[later.y[-1]] == "zebra"


def test_a_changed_photo_and_a_changed_recipe_are_told(photos: Photos, tmp_path: Path) -> None:
    early = embedded(photos, tmp_path / "out")
    photo(photos.file(0), 3)
    with pytest.raises(ArgumentError, match="1 photos have changed"):
        early.add(folder.scan(photos.root))
    other = Embeddings(early.X, early.photos, {**early.identity, "version": 0})
    with pytest.raises(ArgumentError, match="the extraction code"):
        other.add(photos)


# ---- interchange -----------------------------------------------------------------------------


def test_a_frame_and_a_parquet_file_come_back_the_same(photos: Photos, tmp_path: Path) -> None:
    embeddings = embedded(photos, tmp_path / "out")
    path = exports.write_parquet(embeddings, tmp_path / "e.parquet")
    for frame in (embeddings.to_frame(), pd.read_parquet(path)):
        back = Embeddings.from_frame(frame, photos.root)
        np.testing.assert_array_equal(back.X, embeddings.X)
        np.testing.assert_array_equal(back.y, embeddings.y)
        assert back.photos.sha256 == photos.sha256
        assert back.photos.fingerprint == photos.fingerprint
        assert back.identity["embeddings_sha256"] == embeddings.identity["embeddings_sha256"]
        assert len(back.add(photos)) == len(embeddings)


def test_a_table_from_elsewhere_is_taken_or_told_what_it_lacks() -> None:
    frame = pd.DataFrame({"path": ["a", "b"], "x0": [0.6, 1.0], "x1": [0.8, 0.0]})
    embeddings = Embeddings.from_frame(frame)
    assert not embeddings.photos.labeled
    assert embeddings.X.dtype == np.float32
    assert embeddings.to_frame()["x1"].tolist() == pytest.approx([0.8, 0.0])
    for wrong, word in (
        (frame.drop(columns="path"), "path"),
        (frame[["path"]], "embedding"),
        (frame.assign(x1=5.0), "unit length"),
        (frame.assign(x1="five"), "numbers"),
        (frame.iloc[:0], "rows"),
    ):
        with pytest.raises(ArgumentError, match=word):
            Embeddings.from_frame(wrong)


def test_npy_and_projector_files_are_as_promised(photos: Photos, tmp_path: Path) -> None:
    embeddings = embedded(photos, tmp_path / "out")
    matrix, table = exports.export(embeddings, "npy", tmp_path / "npy")
    np.testing.assert_array_equal(np.load(matrix, allow_pickle=False), embeddings.X)
    assert pd.read_csv(table)["label"].tolist() == embeddings.y.tolist()
    vectors, labels = exports.export(embeddings, "projector", tmp_path / "tsv")
    np.testing.assert_allclose(np.loadtxt(vectors, delimiter="\t"), embeddings.X, atol=1e-5)
    assert labels.read_text("utf-8").splitlines()[0] == "category\tpath"
    assert len(labels.read_text("utf-8").splitlines()) == len(embeddings) + 1
    few, _ = exports.export(embeddings, "projector", tmp_path / "few", components=3)
    assert np.loadtxt(few, delimiter="\t").shape == (len(embeddings), 3)
    with pytest.raises(ArgumentError, match="no format 'xlsx'"):
        exports.export(embeddings, "xlsx", tmp_path)


def test_scikit_learn_takes_the_pipelines_as_its_own(photos: Photos, tmp_path: Path) -> None:
    embeddings = embedded(photos, tmp_path / "out")
    scores = cross_val_score(svm(), embeddings.X, embeddings.y, cv=3)
    assert scores.shape == (3,)


def test_a_lab_on_a_folder_without_labels_says_why_it_cannot(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        photo(tmp_path / "flat" / f"{number}.png", number)
    lab = Lab(folder.scan(tmp_path / "flat"), PIXELS)
    assert len(lab.index()) == 6
    assert len(lab.kmeans(2).labels_) == 6
    for what in (
        lab.svm,
        lab.random_forest,
        partial(final_report, lab),
        partial(cached_clustering_scores, lab),
    ):
        with pytest.raises((ArgumentError, DatasetError), match="need"):
            what()
