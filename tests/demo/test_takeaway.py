"""What can be taken away: table, contact sheet, copies, and Python that repeats the query."""

import io
import os
import runpy
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import caltech_lab
from caltech_lab.datasets.folder import scan
from caltech_lab.demo import SearchSession, takeaway
from caltech_lab.embedding import backbones
from caltech_lab.embedding.backbones import backbone
from caltech_lab.errors import ArgumentError, CacheError, DatasetError
from caltech_lab.lab import Lab


@pytest.fixture(name="asked")
def session_with_a_query(session):
    session.search(session.encoder.gallery_photo(9))
    session.show(12)
    return session


def test_the_table_has_one_row_per_result(asked):
    results, ranking = asked.results, asked.ranking
    table = pd.read_csv(
        io.BytesIO(takeaway.csv_bytes(asked.gallery, results.query, ranking)), encoding="utf-8"
    )
    assert table["rank"].tolist() == list(range(1, 13))
    assert table["path"].tolist() == [asked.path(row) for row in ranking.ids]
    assert set(table["query"]) == {results.query.name}
    np.testing.assert_allclose(table["similarity"], ranking.similarities, atol=1e-5)
    shown = table["same_category_probability"]
    np.testing.assert_allclose(shown, ranking.same_category, atol=1e-4)


def test_a_name_is_no_formula_in_the_table(asked):
    query = replace(asked.results.query, name="=cmd|'/c calc'!A1 \udcff")
    text = takeaway.csv_bytes(asked.gallery, query, asked.ranking).decode()
    assert "'=cmd" in text
    assert "\\udcff" in text


@pytest.mark.parametrize("k", [1, 50])
def test_the_sheet_is_a_picture_of_sensible_size(asked, k):
    asked.show(k)
    data = takeaway.sheet_png(asked.gallery, asked.results.query, asked.ranking)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert 300 < picture.width < 3000
    assert len(data) < 4e6


def test_copies_are_numbered_and_overwrite_nothing(asked, tmp_path):
    goal = tmp_path / "found" / "umbrellas"
    copied = takeaway.copy_photos(asked.gallery, asked.ranking.ids, goal)
    assert [path.name[:4] for path in copied] == [f"{i:03d}_" for i in range(1, 13)]
    for path, row in zip(copied, asked.ranking.ids.tolist(), strict=True):
        assert path.name[4:] == asked.path(row).replace("/", "_")
        assert path.read_bytes() == asked.gallery.photos.file(row).read_bytes()
    assert takeaway.copy_photos(asked.gallery, asked.ranking.ids, goal) == copied
    copied[0].write_bytes(b"mine")
    again = takeaway.copy_photos(asked.gallery, asked.ranking.ids, goal)
    assert copied[0].read_bytes() == b"mine"
    assert again[0].name == f"{copied[0].stem}-2{copied[0].suffix}"
    assert len(list(goal.iterdir())) == 13


def test_copies_do_not_go_into_the_dataset(asked, tmp_path):
    inside = asked.gallery.photos.root / "new"
    with pytest.raises(ArgumentError, match="inside the dataset"):
        takeaway.copy_photos(asked.gallery, asked.ranking.ids, inside)
    (tmp_path / "link").symlink_to(asked.gallery.photos.root, target_is_directory=True)
    with pytest.raises(ArgumentError, match="inside the dataset"):
        takeaway.copy_photos(asked.gallery, asked.ranking.ids, tmp_path / "link" / "new")
    assert not inside.exists()


def test_a_missing_photo_is_named_and_the_others_are_copied(lab, tmp_path):
    shutil.copytree(lab.photos.root, tmp_path / "photos")
    session = SearchSession(Lab(scan(tmp_path / "photos"), lab.backbone))
    session.search(session.encoder.gallery_photo(9))
    gone = int(session.ranking.ids[1])
    session.gallery.photos.file(gone).unlink()
    with pytest.raises(DatasetError, match=session.path(gone)) as told:
        takeaway.copy_photos(session.gallery, session.ranking.ids[:5], tmp_path / "new")
    assert str(told.value).startswith("4 photos were copied to")
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_a_folder_that_cannot_be_written_is_a_sentence(asked, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="not a folder"):
        takeaway.copy_photos(asked.gallery, asked.ranking.ids, tmp_path / "file" / "new")
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("The superuser may write anywhere.")
        with pytest.raises(CacheError, match="cannot be written"):
            takeaway.copy_photos(asked.gallery, asked.ranking.ids, tmp_path / "new")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lotus/image_0001.jpg", "001_lotus_image_0001.jpg"),
        ('a:b/c?d<e>"|*.png', "001_a_b_c_d_e____.png"),
        ("a\nb/c .jpg", "001_a_b_c.jpg"),
        ("no suffix.", "001_no suffix"),
    ],
)
def test_names_of_copies_are_allowed_everywhere(path, name):
    assert takeaway._name(1, path) == name


def test_long_names_are_shortened_and_keep_their_ending():
    name = takeaway._name(7, "ü" * 300 + "/" + "x" * 300 + ".jpeg")
    assert len(name.encode()) < 255
    assert name.startswith("007_ü")
    assert name.endswith(".jpeg")


# ---- Python ----------------------------------------------------------------------------------


@pytest.fixture(name="own")
def session_on_a_folder(tmp_path, environment, monkeypatch):
    """Give a session on a folder with a quote and a backslash in its names."""
    root = tmp_path / "it's \\ mine"
    rng = np.random.default_rng(0)
    for number in range(14):
        folder = root / ("cat's", 'do"g')[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number:02d}.png")
    tiny = replace(backbone("pixels"), name="tiny", size=12, width=12 * 12 * 3)
    monkeypatch.setitem(backbones.BACKBONES, "tiny", tiny)
    return SearchSession(caltech_lab.open_lab(str(root), "tiny"))


@pytest.fixture(name="repeated")
def run_the_python(capsys, tmp_path):
    """Give a way to run the Python of a session; it returns the paths that it prints."""

    def repeated(session) -> list[str]:
        capsys.readouterr()
        (tmp_path / "again.py").write_text(takeaway.python_line(session), encoding="utf-8")
        runpy.run_path(str(tmp_path / "again.py"))
        return [line for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]

    return repeated


def found(session) -> list[str]:
    return [session.path(row) for row in session.ranking.ids]


def test_the_python_repeats_the_query(own, repeated):
    encoder = own.encoder
    own.search(encoder.gallery_photo(4))
    assert repeated(own) == found(own)
    own.show(5)
    own.mark(own.ranking.ids[1], "bad")
    own.mark(own.ranking.ids[2], "good")
    assert repeated(own) == found(own)
    own.filter(categories=own.labels(["cat's"]), hide_near_duplicates=True)
    assert repeated(own) == found(own)
    own.filter(categories=frozenset(), cluster=True)
    assert repeated(own) == found(own)
    own.filter(cluster=False)
    own.search(encoder.part(encoder.gallery_photo(3), (0.0, 0.25, 0.5, 1.0)))
    assert repeated(own) == found(own)
    own.search(encoder.gallery_photo(2))
    own.add(encoder.gallery_photo(7), -1)
    own.add(encoder.gallery_photo(8))
    assert repeated(own) == found(own)


def test_the_python_of_an_upload_names_the_file(own):
    data = own.gallery.photos.file(3).read_bytes() + b" "
    own.search(own.encoder.photo(data, "holi'day.png"))
    assert 'encoder.photo("path/to/holi\'day.png")' in takeaway.python_line(own)


def test_without_a_query_there_is_no_python(own):
    assert takeaway.python_line(own) == ""


def test_a_named_dataset_is_opened_by_name(lab):
    named = Lab(replace(lab.photos, name="report51"), lab.backbone)
    assert takeaway._lab(named) == "caltech_lab.open_lab('report51', 'tiny')"
    assert str(Path(lab.photos.root)) in takeaway._lab(lab)
