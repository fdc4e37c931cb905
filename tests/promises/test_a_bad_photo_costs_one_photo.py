"""A bad photo costs one photo: it is named, and all the others stay in line."""

import ast
import json
import os
import random
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from caltech_lab.datasets import folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.extraction import extract
from caltech_lab.embedding.images import load_pixels, read_photo, readable
from caltech_lab.errors import DatasetError, PhotoError
from tools import series

PIXELS = backbone("pixels")
DAMAGE = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "a web page": lambda data: b"<!DOCTYPE html><title>404</title>",
    "noise": lambda data: random.Random(len(data)).randbytes(len(data)),
    "a broken head": lambda data: data[:8] + bytes(16) + data[24:],
    "another format": lambda data: b"II*\0" + data,
}


@pytest.fixture
def sample(drawn_sample: Path, tmp_path: Path) -> Photos:
    shutil.copytree(drawn_sample, tmp_path / "sample")
    return folder.scan(tmp_path / "sample")


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "sample" / "pixels" / "features"


def damage(photos: Photos, share: float) -> set[str]:
    """Damage a share of the files, each in another way, and give their paths."""
    chosen = random.Random(4).sample(range(len(photos)), round(share * len(photos)))
    for number, i in enumerate(chosen):
        spoil = list(DAMAGE.values())[number % len(DAMAGE)]
        photos.file(i).write_bytes(spoil(photos.file(i).read_bytes()))
    return {photos.table["path"][i] for i in chosen}


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_the_others_stay_in_line(sample: Photos, goal: Path, share: float) -> None:
    extract(sample, PIXELS, goal)
    truth = dict(zip(sample.table["path"], load(goal, sample).X, strict=True))
    bad = damage(sample, share)
    damaged = folder.scan(sample.root)
    fresh = goal.parents[2] / "elsewhere" / "sample" / "pixels" / "features"
    for place in (goal, fresh):  # with what was known before, and from nothing
        outcome = extract(damaged, PIXELS, place)
        assert set(outcome.failed) == bad
        assert outcome.n_photos == len(sample)
        assert outcome.n_extracted + outcome.n_reused == len(sample) - len(bad)
        embeddings = load(place, damaged)
        items = pd.read_parquet(place / "items.parquet")
        assert len(items) == len(embeddings.X) == len(embeddings.y) == len(sample) - len(bad)
        assert items["path"].tolist() == embeddings.photos.table["path"].tolist()
        assert bad.isdisjoint(items["path"])
        np.testing.assert_array_equal(embeddings.X, [truth[path] for path in items["path"]])
        np.testing.assert_array_equal(
            embeddings.y, np.load(place / "labels.npy", allow_pickle=False)
        )
        names = [embeddings.categories[label] for label in embeddings.y]
        assert names == items["category"].tolist()
        assert names == [path.split("/")[0] for path in items["path"]]


def test_each_bad_photo_is_named_with_its_reason(sample: Photos, goal: Path) -> None:
    bad = damage(sample, 0.2)
    outcome = extract(folder.scan(sample.root), PIXELS, goal)
    kept = json.loads((goal / "outcome.json").read_text())["failed"]
    assert set(kept) == bad
    for path, sentence in kept.items():
        assert path in sentence
        assert sentence.endswith(".")
        assert "\n" not in sentence
    assert {"empty", "damaged", "is not a"} <= {
        word for word in ("empty", "damaged", "is not a") for text in kept.values() if word in text
    }
    told = str(outcome).splitlines()[-1]
    assert told.startswith(f"{len(bad)} of {len(sample)} photos could not be read and are left out")
    # A second look at the cache still names them.
    again = extract(folder.scan(sample.root), PIXELS, goal)
    assert again.n_extracted == 0
    assert again.failed == kept


def test_it_fails_only_when_all_photos_do(sample: Photos, goal: Path) -> None:
    damage(sample, 1.0)
    with pytest.raises(DatasetError, match=r"^None of the 336 photos could be read; the first: "):
        extract(folder.scan(sample.root), PIXELS, goal)
    assert not (goal / "identity.json").exists()


def test_one_good_photo_is_enough(sample: Photos, goal: Path) -> None:
    good = sample.file(100).read_bytes()
    damage(sample, 1.0)
    sample.file(100).write_bytes(good)
    assert len(extract(folder.scan(sample.root), PIXELS, goal).failed) == len(sample) - 1


def test_a_photo_that_is_mended_comes_back(sample: Photos, goal: Path) -> None:
    good = sample.file(7).read_bytes()
    sample.file(7).write_bytes(good[:100])
    extract(folder.scan(sample.root), PIXELS, goal)
    sample.file(7).write_bytes(good)
    outcome = extract(folder.scan(sample.root), PIXELS, goal)
    assert (outcome.n_extracted, outcome.failed) == (1, {})


def test_a_photo_that_goes_away_meanwhile_costs_itself(sample: Photos, goal: Path) -> None:
    assert len(sample.sha256) == len(sample)
    sample.file(9).unlink()
    outcome = extract(sample, PIXELS, goal)
    assert set(outcome.failed) == {sample.table["path"][9]}
    assert len(load(goal, sample)) == len(sample) - 1


# Before the extraction: photos that a notebook looks at


def test_looking_at_photos_leaves_out_the_bad_ones(
    sample: Photos, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, sizes = readable(sample, lambda file: read_photo(file).size)
    assert rows.tolist() == list(range(len(sample)))
    assert capsys.readouterr().out.rpartition("\r")[2] == ""
    bad = damage(sample, 0.2)
    rows, again = readable(sample, lambda file: read_photo(file).size)
    assert set(sample.table["path"]) - set(sample.table["path"][rows]) == bad
    assert again == [sizes[i] for i in rows]
    line = capsys.readouterr().out.rpartition("\r")[2]  # behind the progress bar
    assert line.startswith("67 of 336 photos cannot be read and are left out; the first: ")
    assert line.count("\n") == 1
    rows, some = readable(sample, lambda file: load_pixels(file, 8, "squash"), np.arange(9, 0, -1))
    assert len(rows) == len(some) < 9
    assert (np.diff(rows) < 0).all()


def test_looking_fails_only_when_no_photo_can_be_read(sample: Photos) -> None:
    damage(sample, 1.0)
    with pytest.raises(PhotoError, match=r"^None of the 336 photos can be read; the first: "):
        readable(sample, read_photo)


def notebook_code() -> list[tuple[str, ast.Module]]:
    books = [(path.stem, nbformat.read(path, as_version=4)) for path in series.notebooks()]
    return [
        (f"{name} {cell.id}", ast.parse(cell.source.replace("%matplotlib", "#")))
        for name, book in books
        for cell in book.cells
        if cell.cell_type == "code"
    ]


OPENERS = {"imread", "ImageCollection", "imread_collection", "load_img", "VideoCapture"}


def opened_otherwise(tree: ast.AST) -> list[str]:
    """Name what opens a picture by another door than `caltech_lab.embedding.images`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if node.attr in OPENERS or (node.attr == "open" and owner.split(".")[-1] == "Image"):
                found.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {alias.name for alias in node.names}
            if names & OPENERS or (node.module == "PIL.Image" and "open" in names):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "Image.open(path)",
        "PIL.Image.open(path)",
        "from PIL.Image import open",
        "plt.imread(path)",
        "from skimage.io import imread",
        "cv2.imread(path)",
    ],
)
def test_the_other_doors_are_known(line: str) -> None:
    assert opened_otherwise(ast.parse(line))


def test_notebooks_open_photos_by_the_one_door() -> None:
    cells = notebook_code()
    assert len(cells) > 100
    assert {name: found for name, tree in cells if (found := opened_otherwise(tree))} == {}


def test_notebooks_take_rows_of_the_embeddings_from_their_own_photos() -> None:
    """Rows count the photos that could be read; `lab.photos` counts the bad ones too."""
    sources = {name: ast.unparse(tree) for name, tree in notebook_code()}
    of_the_embeddings = re.compile(r"(?<!lab)\.photos\.file\(")
    assert [name for name, source in sources.items() if of_the_embeddings.search(source)]
    assert [name for name, source in sources.items() if "lab.photos.file(" in source] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", ["01"])
def test_a_notebook_runs_on_a_folder_with_bad_photos(
    sample: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    bad = damage(sample, 0.2)
    environment = {
        "CALTECH_LAB_DATASET": str(sample.root),
        "CALTECH_LAB_BACKBONE": "pixels",
        "CALTECH_LAB_OUTPUTS": str(tmp_path / "outputs"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), os.getenv("PYTHONPATH")])),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (path,) = (path for path in series.notebooks() if path.name.startswith(number))
    book = series.execute(path)
    printed = "".join(o.get("text", "") for c in book.cells for o in c.get("outputs", []))
    assert f"{len(bad)} of {len(sample)} photos cannot be read and are left out" in printed
