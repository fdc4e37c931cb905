"""What is listed of a folder such as people have, and what the line on the photos says of it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caltech_lab.datasets import folder, open_photos
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.extraction import extract
from caltech_lab.errors import ArgumentError, DatasetError
from caltech_lab.storage.tables import load_table, save_table
from tests.pictures import encode, picture

PIXELS = backbone("pixels")
PROGRAMS = [
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@tmp",
    "@__thumb",
    "@Recycle",
    "@Recently-Snapshot",
    "$RECYCLE.BIN",
    "RECYCLER",
    "System Volume Information",
    "FOUND.000",
    "__MACOSX",
    "lost+found",
    "~snapshot",
    ".thumbnails",
    ".picasaoriginals",
    ".stversions",
    ".Trash-1000",
    ".dropbox.cache",
    "files_trashbin",
    "files_versions",
    "appdata_oc8abc",
    "My Previews.lrdata",
    "Holiday.photoslibrary/resources",
    "Old.photolibrary/Thumbnails",
]


def put(root: Path, *names: str, data: bytes | None = None) -> None:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(20 + number), "JPEG") if data is None else data)


def paths(photos: Photos) -> list[str]:
    return photos.table["path"].tolist()


# ---- by content ------------------------------------------------------------------------------


def test_photos_by_other_names_are_told_by_their_bytes(tmp_path: Path) -> None:
    names = ["a.jfif", "b.jpe", "c", "d.HEIC", "e.photo", "f.jpg_large"]
    put(tmp_path, *names)
    put(tmp_path, "notes.txt", "Thumbs.db", "g.json", "empty", data=b"no photo")
    put(tmp_path, "nothing", data=b"")
    photos = folder.scan(tmp_path)
    assert paths(photos) == sorted(names)
    assert photos.origin == f"6 photos of {tmp_path.name}, no labels"


def test_a_file_of_a_known_name_is_listed_without_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.jpg", data=b"no photo")
    monkeypatch.setattr(folder, "_head", lambda _: pytest.fail("looked into a file"))
    assert paths(folder.scan(tmp_path)) == ["a.jpg"]


def test_what_is_not_read_is_counted_by_kind(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    put(tmp_path, *(f"{i}.MOV" for i in range(5)), "x.jxl", "y.dng", "z.cr2", "u.mp4", "v.psd")
    origin = folder.scan(tmp_path).origin
    assert "10 files of kinds that are not read: 5 .mov, 1 " in origin
    assert origin.endswith(", …")
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DatasetError, match=r"No photos were found .*10 files of kinds.*HEIC"):
        folder.scan(tmp_path)


# ---- folders of programs ---------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("above", ["", "album/"])
def test_what_programs_make_for_themselves_is_passed_over(
    tmp_path: Path, name: str, above: str
) -> None:
    put(tmp_path, f"{above}{name}/thumb.jpg", f"{above}{name}/b.jpg/SYNOPHOTO_THUMB_M.jpg")
    put(tmp_path, f"{above}mine.jpg")
    assert paths(folder.scan(tmp_path)) == [f"{above}mine.jpg"]
    # Somebody who names it means it.
    inside = folder.scan(tmp_path / above / name)
    assert "thumb.jpg" in paths(inside)


def test_files_of_systems_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "._a.jpg", ".trashed-1-b.jpg")
    put(tmp_path, "Thumbs.db", "Icon\r", "desktop.ini", data=b"\xd0\xcf\x11\xe0")
    assert paths(folder.scan(tmp_path)) == ["a.jpg"]


def test_originals_of_an_apple_library_are_photos(tmp_path: Path) -> None:
    library = "Photos Library.photoslibrary"
    put(tmp_path, f"{library}/originals/0/a.heic", f"{library}/resources/derivatives/a.jpg")
    assert paths(folder.scan(tmp_path)) == [f"{library}/originals/0/a.heic"]


def test_names_that_only_look_like_these_are_photos(tmp_path: Path) -> None:
    names = ["#tags/a.jpg", "@work/a.jpg", "lost/a.jpg", "recycle/a.jpg", "resources/a.jpg"]
    put(tmp_path, *names)
    assert paths(folder.scan(tmp_path)) == names


# ---- categories ------------------------------------------------------------------------------


def test_the_folders_in_splits_are_the_categories(tmp_path: Path) -> None:
    put(tmp_path, "Train/cat/1.jpg", "Train/dog/deep/2.jpg", "VAL/cat/3.jpg", "test/owl/4.jpg")
    put(tmp_path, "stray.jpg")
    photos = folder.scan(tmp_path)
    assert photos.categories == ["cat", "dog", "owl"]
    assert len(photos) == 4
    assert photos.origin == (
        f"4 photos in 3 categories of {tmp_path.name}, the sub-folders of its splits Train, VAL "
        "and test; 1 beside the sub-folders left out"
    )


@pytest.mark.parametrize(
    ("names", "categories"),
    [
        (["train/1.jpg", "val/2.jpg"], ["train", "val"]),
        (["train/cat/1.jpg", "cars/cat/2.jpg"], ["cars", "train"]),
        (["train/cat/1.jpg", "train/dog/2.jpg"], []),
        (["train/all/1.jpg", "val/all/2.jpg"], []),
        (["train/cat/1.jpg", "train/dog/2.jpg", "test/3.jpg"], ["cat", "dog"]),
    ],
)
def test_other_folders_are_no_splits(
    tmp_path: Path, names: list[str], categories: list[str]
) -> None:
    put(tmp_path, *names)
    assert folder.scan(tmp_path).categories == categories


def test_a_lone_folder_is_no_label(tmp_path: Path) -> None:
    put(tmp_path, "photos/1.jpg", "photos/deep/2.jpg", "beside.jpg")
    photos = folder.scan(tmp_path)
    assert not photos.labeled
    assert photos.categories == []
    assert len(photos) == 3
    assert photos.origin == (
        f"3 photos of {tmp_path.name}, no labels (one sub-folder alone, photos, is no label)"
    )


# ---- exclude ---------------------------------------------------------------------------------


def test_patterns_leave_photos_out(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "a/2.gif", "b/drafts/3.jpg", "b/4.jpg", "#x/5.jpg", "c/no.mov")
    put(tmp_path, "Cafe\u0301/6.jpg")
    exclude = ["drafts/", "*.gif", "#x", "/c", "Café"]
    photos = folder.scan(tmp_path, exclude)
    assert paths(photos) == ["a/1.jpg", "b/4.jpg"]
    assert photos.origin.endswith(f"in 2 folders of {tmp_path.name}; 4 excluded")
    assert "; 0 excluded" in folder.scan(tmp_path, ["typo"]).origin
    kept = folder.scan(tmp_path, ["*", "!a/", "!a/1.jpg"])
    assert paths(kept) == ["a/1.jpg"]
    names = {folder.scan(tmp_path, some).name for some in ((), exclude, ["typo"])}
    assert len(names) == 3
    with pytest.raises(DatasetError, match="6 excluded"):
        folder.scan(tmp_path, ["*"])
    with pytest.raises(ArgumentError, match=r"'!' cannot be understood"):
        folder.scan(tmp_path, ["!"])


def test_patterns_of_the_settings_are_used(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    put(tmp_path / "mine", "a/1.jpg", "b/2.jpg", "c d/3.jpg")
    environment.setenv("CALTECH_LAB_EXCLUDE", "b/\n\nc d/")
    assert paths(open_photos(str(tmp_path / "mine"))) == ["a/1.jpg"]
    assert len(open_photos(str(tmp_path / "mine"), [])) == 3
    with pytest.raises(ArgumentError, match="a folder of your own"):
        open_photos("drawn")


# ---- names are data --------------------------------------------------------------------------

NAMES = [
    "tab\t",
    "two\nlines",
    "re\rturn",
    "\x1b[2J",
    "q\"u'o,te",
    "$a$",
    "=1+1",
    "Cafe\u0301",
    "Café",
]
NAMES += ["猫", "Case", "case", "n" * 250, os.fsdecode(b"\xff\xfe"), "\u2028", "\\t", "{}", "%s"]


def test_names_come_back_exactly(tmp_path: Path) -> None:
    root, goal = tmp_path / "photos", tmp_path / "out" / "x" / "pixels" / "features"
    put(root, *(f"{name}/{name}.png" for name in NAMES))
    (root / NAMES[0] / f"{NAMES[0]}.png").write_bytes(b"no photo")
    photos = folder.with_known_hashes(folder.scan(root), tmp_path / "record.parquet")
    assert set(photos.categories) == {*NAMES}
    extract(photos, PIXELS, goal)
    embeddings = load(goal, photos)
    assert embeddings.photos.table["path"].tolist() == [
        path for path in paths(photos) if not path.startswith("tab")
    ]
    again = folder.with_known_hashes(folder.scan(root), tmp_path / "record.parquet")
    assert again.fingerprint == photos.fingerprint
    assert extract(again, PIXELS, goal).failed.keys() == {"tab\t/tab\t.png"}
    some = embeddings.photos.subset(np.arange(5), "some")
    assert extract(some, PIXELS, tmp_path / "out" / "y" / "pixels" / "features").n_reused == 5


def test_a_folder_of_any_name_has_an_output_folder_of_a_plain_one(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"a\xff\n\x1b")
    put(root, "1.jpg")
    assert folder.scan(root).name.startswith("a___-")


def test_fingerprints_tell_rows_apart(tmp_path: Path) -> None:
    def print_of(*rows: tuple[str, str]) -> str:
        table = pd.DataFrame(rows, columns=["path", "category"], dtype=object)
        return Photos("x", tmp_path, table.assign(sha256="0")).fingerprint

    prints = [
        print_of(("a", "b"), ("c", "d")),
        print_of(("a\tb\t0\nc", "d")),
        print_of(("a", "b\t0\nc\td")),
        print_of(("a\tb", "c")),
        print_of(("a", "b\tc")),
        print_of(("\udcff", "a")),
    ]
    assert len({*prints}) == len(prints)


def test_tables_keep_text_that_is_no_unicode(tmp_path: Path) -> None:
    names = ["plain", "q\udcff", "\udcc3\udca9", "é", None, "x\0\n\r\t"]
    table = pd.DataFrame(
        {"name": names, "n": range(6)}, pd.Index(names, dtype=object, name="i"), dtype=object
    )
    save_table(tmp_path / "x.parquet", table)
    back = load_table(tmp_path / "x.parquet")
    assert back["name"].tolist() == names
    assert back.index.tolist() == names
    assert back.index.name == "i"
    assert back["n"].tolist() == list(range(6))


# ---- disks that go away ----------------------------------------------------------------------


def test_photos_that_vanish_after_the_listing_are_named(tmp_path: Path) -> None:
    root, goal = tmp_path / "photos", tmp_path / "out" / "x" / "pixels" / "features"
    put(root, "a/1.jpg", "a/2.jpg", "b/3.jpg")
    photos = folder.with_known_hashes(folder.scan(root), tmp_path / "record.parquet")
    (root / "a" / "1.jpg").unlink()
    (root / "b" / "3.jpg").write_bytes(b"changed")
    report = extract(photos, PIXELS, goal)
    assert [*report.failed] == ["a/1.jpg", "b/3.jpg"]
    assert str(root / "a" / "1.jpg") in report.failed["a/1.jpg"]
    assert len(load(goal, photos)) == 1
    photos = folder.scan(root)
    shutil.rmtree(root)
    with pytest.raises(DatasetError, match=r"None of the 2 photos could be read; the first: .*a/2"):
        extract(photos, PIXELS, goal)
