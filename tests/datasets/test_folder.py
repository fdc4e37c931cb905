"""Which files of a folder are read again, and which are known by their stamp."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from caltech_lab.datasets import folder

Read = Callable[[], list[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("0", "1", "2"):
        path = tmp_path / "photos" / "a" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"photo {name}")
    return tmp_path / "photos"


@pytest.fixture
def read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return what tells which files are read, and holds the hashes against the files."""
    hash_files = folder.hash_files

    def files_read() -> list[str]:
        read: list[str] = []

        def counted(files: list[Path], desc: str | None = None) -> list[str]:
            read.extend(path.name for path in files)
            return hash_files(files, desc)

        with monkeypatch.context() as patch:
            patch.setattr(folder, "hash_files", counted)
            patch.setattr(folder, "SETTLED", -1.0)
            photos = folder.with_known_hashes(folder.scan(root), tmp_path / "record.parquet")
        assert photos.sha256 == folder.scan(root).sha256
        return read

    assert files_read() == ["0.png", "1.png", "2.png"]
    assert files_read() == []
    return files_read


def test_a_file_rewritten_with_its_old_size_and_time_is_read_again(root: Path, read: Read) -> None:
    path = root / "a" / "1.png"
    before = path.stat()
    path.write_text("PHOTO 1")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read() == ["1.png"]


def test_two_files_that_change_places_are_read_again(root: Path, read: Read) -> None:
    first, second = root / "a" / "0.png", root / "a" / "1.png"
    times = first.stat().st_atime_ns, first.stat().st_mtime_ns
    first.rename(root / "other")
    second.rename(first)
    (root / "other").rename(second)
    for path in (first, second):
        os.utime(path, ns=times)
    assert read() == ["0.png", "1.png"]


@pytest.mark.parametrize("part", ["st_size", "st_ino", "st_mtime_ns", "st_ctime_ns"])
def test_each_part_of_the_stamp_counts(
    root: Path, read: Read, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems change only one of them."""
    stat, changed = Path.stat, root / "a" / "2.png"

    def other(path: Path, **options: bool) -> object:
        status = stat(path, **options)
        if path != changed:
            return status
        parts = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        return SimpleNamespace(**parts | {part: parts[part] + 1})

    monkeypatch.setattr(Path, "stat", other)
    assert read() == ["2.png"]


def test_a_file_that_came_a_moment_ago_with_an_old_date_is_not_known(
    root: Path, tmp_path: Path
) -> None:
    """As `cp -p` leaves it: it may change again without a time stamp that tells."""
    long_ago = time.time() - 3600
    for path in root.glob("*/*"):
        os.utime(path, (long_ago, long_ago))
    folder.with_known_hashes(folder.scan(root), tmp_path / "record.parquet")
    assert len(pd.read_parquet(tmp_path / "record.parquet")) == 0


def test_a_photo_that_goes_away_after_the_listing_stops_nobody(root: Path, tmp_path: Path) -> None:
    listed = folder.scan(root)
    (root / "a" / "1.png").unlink()
    photos = folder.with_known_hashes(listed, tmp_path / "record.parquet")
    assert [bool(sha) for sha in photos.table["sha256"]] == [True, False, True]


def test_a_photo_that_was_deleted_leaves_the_record(read: Read, root: Path, tmp_path: Path) -> None:
    (root / "a" / "1.png").unlink()
    assert read() == []
    kept = pd.read_parquet(tmp_path / "record.parquet")
    assert kept["path"].tolist() == ["a/0.png", "a/2.png"]


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
def test_a_folder_that_two_links_reach_hides_none_beside_it(root: Path, tmp_path: Path) -> None:
    for name in ("inner", "other"):
        (tmp_path / "outside" / name).mkdir(parents=True)
        (tmp_path / "outside" / name / "3.png").write_text(f"photo in {name}")
    (root / "m").symlink_to(tmp_path / "outside" / "inner")
    (root / "n").symlink_to(tmp_path / "outside")
    found = folder.scan(root).table["path"].tolist()
    assert found == ["a/0.png", "a/1.png", "a/2.png", "m/3.png", "n/other/3.png"]
