"""Caltech-101 on a small dataset of the same shape, served by a server on this machine."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from caltech_lab.datasets import archives, caltech101
from caltech_lab.errors import DatasetError
from caltech_lab.settings import settings
from tests.served import Server, contents, is_sentence, pack, serving

CATEGORIES = ("BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "wrench")
REAL_MANIFEST = caltech101.manifest
REAL_PHOTOS = caltech101.find(settings().photo_places)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    made = {
        f"{category}/image_{i:04d}.jpg": jpeg(10 * k + i)
        for k, category in enumerate(CATEGORIES)
        for i in (1, 2, 3)
    }
    return dict(sorted(made.items())) | {"BACKGROUND_Google/tmp": b"no photo"}


@pytest.fixture(autouse=True)
def small_manifest(photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    rows = [(p, len(c), sha256(c)) for p, c in photos.items() if p != "BACKGROUND_Google/tmp"]
    table = pd.DataFrame(rows, columns=["path", "bytes", "sha256"])
    monkeypatch.setattr(caltech101, "manifest", table.copy)
    monkeypatch.setattr(caltech101, "OFFICIAL", replace(caltech101.OFFICIAL, size=1_000_000))
    monkeypatch.setenv("no_proxy", "*")
    return table


@pytest.fixture
def root(photos: dict[str, bytes], tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "101_ObjectCategories"
    for path, content in photos.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def server(photos: dict[str, bytes]) -> Iterator[Server]:
    with serving(pack(photos)) as running:
        yield running


@pytest.fixture
def official(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the server's archive in the place of the official one."""
    md5 = hashlib.md5(server.body).hexdigest()
    ours = replace(caltech101.OFFICIAL, url=server.address, md5=md5)
    monkeypatch.setattr(caltech101, "OFFICIAL", ours)
    monkeypatch.setattr(archives, "SCHEMES", ("http",))


@pytest.fixture
def get(official: None, tmp_path: Path) -> Callable[[], Path]:
    """`download` from the server."""
    return lambda: caltech101.download(tmp_path / "data")


# -- The manifest and the subsets


def test_manifest_is_that_of_the_official_archive() -> None:
    table = REAL_MANIFEST()
    assert list(table.columns) == ["path", "bytes", "sha256"]
    assert len(table) == 9144
    assert table["path"].is_unique
    assert table["path"].tolist() == sorted(table["path"])
    assert table["path"].str.fullmatch(r"\w[\w-]*/image_\d{4}\.jpg").all()
    assert table["path"].str.partition("/")[0].nunique() == 102
    assert table["sha256"].str.fullmatch(r"[0-9a-f]{64}").all()
    assert (table["bytes"] > 0).all()


def test_manifest_cannot_be_spoilt_by_its_user() -> None:
    table = REAL_MANIFEST()
    table.loc[0, "path"] = "spoilt"
    del table["sha256"]
    assert "spoilt" not in set(REAL_MANIFEST()["path"])
    assert "sha256" in REAL_MANIFEST()


@pytest.mark.parametrize(
    ("subset", "categories", "count"),
    [("all", 101, 8677), ("all+background", 102, 9144), ("report51", 51, 5163)],
)
def test_subsets_count(
    subset: str, categories: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caltech101, "manifest", REAL_MANIFEST)
    table = caltech101.select(subset)
    assert len(table) == count
    assert table["category"].nunique() == categories
    assert ("BACKGROUND_Google" in set(table["category"])) == (subset != "all")
    assert table.index.tolist() == list(range(count))
    assert f"{count:,}" in caltech101.SUBSETS[subset]


def test_report51_is_the_first_folders_whatever_their_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caltech101, "manifest", REAL_MANIFEST)
    inside = set(caltech101.select("report51")["category"])
    outside = set(caltech101.select("all+background")["category"]) - inside
    assert {"BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "ibis"} <= inside
    assert {"inline_skate", "Leopards", "Motorbikes", "yin_yang"} <= outside
    assert max(map(str.lower, inside)) < min(map(str.lower, outside))


def test_unknown_subset_is_told() -> None:
    with pytest.raises(DatasetError, match="no subset 'half': choose from") as error:
        caltech101.select("half")
    assert is_sentence(error)


# -- Finding


@pytest.mark.parametrize(
    "where",
    [
        ".",
        "101_ObjectCategories",
        "caltech-101/101_ObjectCategories",
        "caltech101/101_ObjectCategories",
    ],
)
def test_find_knows_each_layout(where: str, root: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / where).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(root, place / where)
    found = caltech101.find([tmp_path / "nowhere", place])
    assert found is not None
    assert found.samefile(place / where)


def test_find_takes_a_damaged_folder_but_not_any_folder(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "Faces")
    shutil.rmtree(root / "accordion")
    assert caltech101.find([root.parent]) == root
    shutil.rmtree(root / "wrench")
    assert caltech101.find([root.parent, tmp_path, tmp_path / "nowhere"]) is None


def test_find_takes_the_first_place(root: Path, tmp_path: Path) -> None:
    second = tmp_path / "second" / "101_ObjectCategories"
    shutil.copytree(root, second)
    assert caltech101.find([second.parent, root.parent]) == second
    assert caltech101.find([root.parent, second.parent]) == root


# -- Verifying and opening


def test_verify_whole(root: Path, photos: dict[str, bytes]) -> None:
    found = caltech101.verify(root)
    assert found.ok
    assert (found.missing, found.altered, found.extra) == ([], [], [])
    assert found.sha256 == {
        path: sha256(content) for path, content in photos.items() if path.endswith(".jpg")
    }
    assert str(found) == "Photos of Caltech-101: all 15 present and unaltered."


def damage(root: Path) -> None:
    (root / "Faces/image_0002.jpg").unlink()
    shutil.rmtree(root / "wrench")
    (root / "accordion/image_0001.jpg").write_bytes(b"mine")
    flipped = bytearray((root / "accordion/image_0003.jpg").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (root / "accordion/image_0003.jpg").write_bytes(flipped)
    (root / "accordion/notes.txt").write_text("mine too")
    (root / "tmp").write_text("only the archive's own stray file is known")


MISSING = ["Faces/image_0002.jpg", *(f"wrench/image_000{i}.jpg" for i in (1, 2, 3))]
ALTERED = ["accordion/image_0001.jpg", "accordion/image_0003.jpg"]
EXTRA = ["accordion/notes.txt", "tmp"]


def test_verify_names_exactly_what_is_wrong(root: Path) -> None:
    damage(root)
    found = caltech101.verify(root)
    assert not found.ok
    assert (found.missing, found.altered, found.extra) == (MISSING, ALTERED, EXTRA)
    assert found.sha256["accordion/image_0001.jpg"] == sha256(b"mine")
    assert len(found.sha256) == 15 - 4
    text = str(found)
    assert (
        "4 missing (Faces/image_0002.jpg, wrench/image_0001.jpg, wrench/image_0002.jpg, …)" in text
    )
    assert "2 altered (accordion/image_0001.jpg, accordion/image_0003.jpg)" in text
    assert "2 extra (accordion/notes.txt, tmp)" in text
    assert text.endswith("`caltech_lab.datasets.caltech101.repair(lab.photos.root)` restores them.")
    assert str(root) not in text


def test_extra_files_do_no_harm(root: Path) -> None:
    (root / "Faces/.DS_Store").write_bytes(b"")
    found = caltech101.verify(root)
    assert found.ok
    assert found.extra == ["Faces/.DS_Store"]
    assert "1 extra" in str(found)


def test_an_unreadable_photo_is_altered_not_missing(root: Path) -> None:
    photo = root / "Faces/image_0001.jpg"
    photo.unlink()
    photo.mkdir()
    found = caltech101.verify(root)
    assert (found.missing, found.altered) == ([], ["Faces/image_0001.jpg"])
    assert "Faces/image_0001.jpg" not in found.sha256


def test_verify_of_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no folder") as error:
        caltech101.verify(tmp_path / "nowhere")
    assert is_sentence(error)


def test_open_subset(root: Path, photos: dict[str, bytes]) -> None:
    opened = caltech101.open_subset(root, "all", "Found in a folder")
    assert (opened.name, len(opened), opened.origin) == ("all", 12, "Found in a folder")
    assert opened.categories == ["accordion", "Faces", "Faces_easy", "wrench"]
    assert opened.sha256 == [sha256(opened.file(i).read_bytes()) for i in range(12)]
    assert len(caltech101.open_subset(root, "all+background", "")) == 15
    assert caltech101.open_subset(root, "all+background", "").name == "all+background"
    assert caltech101.open_subset(root, "report51", "").name == "report51"


def test_open_subset_goes_on_with_what_is_there_and_says_so(root: Path) -> None:
    damage(root)
    opened = caltech101.open_subset(root, "all", "Found in a folder.")
    assert len(opened) == 12 - 4
    assert set(opened.table["path"]).isdisjoint(MISSING)
    assert opened.sha256 == [sha256(opened.file(i).read_bytes()) for i in range(8)]
    assert opened.origin.startswith("Found in a folder. Photos of Caltech-101: 4 missing")
    assert "2 altered" in opened.origin
    assert "\n" not in opened.origin


def test_a_subset_does_not_ask_for_photos_outside_it(root: Path) -> None:
    shutil.rmtree(root / "BACKGROUND_Google")
    assert caltech101.open_subset(root, "all", "Found").origin == "Found"
    assert "3 missing" in caltech101.open_subset(root, "all+background", "Found").origin


def test_open_subset_without_any_photo_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="None of the photos"):
        caltech101.open_subset(tmp_path, "all", "Found")


# -- Downloading


def test_download(get: Callable[[], Path], server: Server, photos: dict[str, bytes]) -> None:
    goal = get()
    assert goal.parts[-3:] == ("data", "caltech-101", "101_ObjectCategories")
    assert contents(goal) == photos
    data = goal.parents[1]
    assert (data / "caltech-101.zip").read_bytes() == server.body
    assert not list(data.rglob("*.part"))
    assert not list(data.rglob(".unpacking"))
    assert get() == goal
    assert server.ranges == [None]  # the second call asked nothing
    assert caltech101.find([data]) == goal


def test_the_official_archive_comes_over_https() -> None:
    assert caltech101.OFFICIAL.url.startswith("https://")


def test_an_archive_put_there_by_hand_is_used(
    get: Callable[[], Path], server: Server, photos: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/caltech-101.zip").write_bytes(server.body)
    assert contents(get()) == photos
    assert server.ranges == []


def test_a_wrong_archive_put_there_by_hand_is_told(tmp_path: Path) -> None:
    (tmp_path / "caltech-101.zip").write_bytes(b"another")
    with pytest.raises(DatasetError, match=r"is not the official archive: delete it") as error:
        caltech101.download(tmp_path)
    assert is_sentence(error)
    assert (tmp_path / "caltech-101.zip").read_bytes() == b"another"


# -- Faults of the disk


def test_a_full_disk_is_told_beforehand(
    get: Callable[[], Path],
    server: Server,
    small_manifest: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpacked = sum(4096 * (size // 4096 + 1) for size in small_manifest["bytes"])
    enough = caltech101.OFFICIAL.size + unpacked
    free = SimpleNamespace(free=enough - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(DatasetError, match="1 MB of free space and Caltech-101 needs") as error:
        get()
    assert is_sentence(error)
    assert server.ranges == []
    free.free = enough
    assert get().is_dir()


def test_a_disk_that_fills_up_is_told(
    get: Callable[[], Path], photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(archives, "_write", full)
        with pytest.raises(DatasetError, match="no space") as error:
            get()
    assert is_sentence(error)
    assert contents(get()) == photos


@pytest.fixture
def read_only() -> Iterator[Path]:
    """Give a folder that this process cannot write, even where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX permissions")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    yield folder
    if root:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def forbid(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_download_into_a_read_only_folder_is_told(read_only: Path, official: None) -> None:
    forbid(read_only)
    with pytest.raises(DatasetError, match="cannot be written: make it writable") as error:
        caltech101.download(read_only / "data")
    assert is_sentence(error)


def test_repair_of_a_read_only_folder_is_told(read_only: Path, root: Path, server: Server) -> None:
    damage(root)
    copy = read_only / "101_ObjectCategories"
    shutil.copytree(root, copy)
    read_only.chmod(0o777)  # beside the photos there would be room for the archive
    forbid(copy)
    before = contents(copy)
    with pytest.raises(DatasetError, match="cannot be written: make it writable") as error:
        caltech101.repair(copy)  # and it does not try the network first
    assert is_sentence(error)
    assert contents(copy) == before


# -- Unpacking


@pytest.mark.parametrize("at", ["1", "13", "16", "rename"])
def test_a_killed_unpacking_is_not_taken_for_a_whole_one(
    at: str,
    get: Callable[[], Path],
    server: Server,
    photos: dict[str, bytes],
    small_manifest: pd.DataFrame,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "caltech-101.zip").write_bytes(server.body)
    small_manifest.to_csv(tmp_path / "manifest.csv", index=False)
    script = f"""
import dataclasses, os, pathlib
import pandas as pd
from caltech_lab.datasets import archives, caltech101
caltech101.manifest = lambda: pd.read_csv({str(tmp_path / "manifest.csv")!r})
write, done = archives._write, []
def kill(*_):
    os.kill(os.getpid(), {int(getattr(signal, "SIGKILL", signal.SIGTERM))})
def killed_in_the_middle(*args):
    write(*args)
    done.append(1)
    if str(len(done)) == {at!r}:
        kill()
if {at!r} == "rename":
    os.replace = kill
archives._write = killed_in_the_middle
md5 = {caltech101.OFFICIAL.md5!r}
caltech101.OFFICIAL = dataclasses.replace(caltech101.OFFICIAL, md5=md5)
caltech101.download(pathlib.Path({str(data)!r}))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode not in (0, 1), run.stderr
    left = [p for p in data.rglob("*") if p.is_file() and p.parent.parent != data]
    assert len(left) >= (16 if at == "rename" else int(at))
    assert caltech101.find([data]) is None
    assert contents(get()) == photos
    assert not list(data.rglob(".unpacking"))


def test_a_folder_in_the_way_is_told_and_an_empty_one_is_filled(
    get: Callable[[], Path], photos: dict[str, bytes], tmp_path: Path
) -> None:
    goal = tmp_path / "data/caltech-101/101_ObjectCategories"
    goal.mkdir(parents=True)
    (goal / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds something else.*move it away") as error:
        get()
    assert is_sentence(error)
    assert contents(goal) == {"mine.txt": b"mine"}
    (goal / "mine.txt").unlink()
    assert contents(get()) == photos


def test_two_downloads_at_once_take_turns(
    get: Callable[[], Path], server: Server, photos: dict[str, bytes]
) -> None:
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert server.ranges == [None]
    assert contents(results[0]) == photos


# -- Repairing


@pytest.fixture
def archive(server: Server, tmp_path: Path) -> Path:
    path = tmp_path / "somewhere.zip"
    path.write_bytes(server.body)
    return path


def test_repair_restores_only_what_is_wrong(
    root: Path, archive: Path, photos: dict[str, bytes]
) -> None:
    damage(root)
    altered = {path: (root / path).read_bytes() for path in ALTERED}
    untouched = root / "Faces/image_0001.jpg"
    os.utime(untouched, (1, 1))
    inode = untouched.stat().st_ino
    assert caltech101.repair(root, archive) == sorted(MISSING + ALTERED)
    found = caltech101.verify(root)
    assert found.ok
    assert found.extra == EXTRA
    assert (root / "accordion/notes.txt").read_text() == "mine too"
    assert {p: c for p, c in contents(root).items() if p in photos} == photos
    assert (untouched.stat().st_mtime, untouched.stat().st_ino) == (1, inode)
    assert contents(root.parent / "replaced") == altered
    assert caltech101.repair(root, archive) == []


def test_a_second_repair_keeps_both_altered_files(root: Path, archive: Path) -> None:
    for content in (b"first", b"second", b"third"):
        (root / "Faces/image_0001.jpg").write_bytes(content)
        assert caltech101.repair(root, archive) == ["Faces/image_0001.jpg"]
    assert contents(root.parent / "replaced") == {
        "Faces/image_0001.jpg": b"first",
        "Faces/image_0001-2.jpg": b"second",
        "Faces/image_0001-3.jpg": b"third",
    }


def test_repair_keeps_a_folder_or_a_link_in_a_photos_place(root: Path, archive: Path) -> None:
    (root / "Faces/image_0001.jpg").unlink()
    (root / "Faces/image_0001.jpg").mkdir()
    (root / "Faces/image_0001.jpg/mine.txt").write_text("mine")
    (root / "Faces/image_0002.jpg").unlink()
    (root / "Faces/image_0002.jpg").symlink_to("/nowhere")
    assert len(caltech101.repair(root, archive)) == 2
    assert caltech101.verify(root).ok
    assert (root.parent / "replaced/Faces/image_0001.jpg/mine.txt").read_text() == "mine"
    assert (root.parent / "replaced/Faces/image_0002.jpg").is_symlink()
    assert not (root / "Faces/image_0002.jpg").is_symlink()


def test_repair_uses_the_archive_that_download_kept(
    get: Callable[[], Path], server: Server, photos: dict[str, bytes]
) -> None:
    goal = get()
    (goal / "wrench/image_0001.jpg").unlink()
    assert caltech101.repair(goal) == ["wrench/image_0001.jpg"]
    assert contents(goal) == photos
    assert server.ranges == [None]


def test_repair_downloads_the_archive_when_there_is_none(
    root: Path, server: Server, official: None
) -> None:
    (root / "wrench/image_0001.jpg").unlink()
    assert caltech101.repair(root) == ["wrench/image_0001.jpg"]
    assert (root.parent / "caltech-101.zip").read_bytes() == server.body


def test_repair_believes_the_manifest_and_not_the_archive(
    root: Path, photos: dict[str, bytes], tmp_path: Path
) -> None:
    damage(root)
    archive = tmp_path / "other.zip"
    archive.write_bytes(pack(photos | {"accordion/image_0001.jpg": b"not the true photo"}))
    with pytest.raises(
        DatasetError, match=r"lacks a true copy of 1 .*accordion/image_0001"
    ) as error:
        caltech101.repair(root, archive)
    assert is_sentence(error)
    assert (root / "accordion/image_0001.jpg").read_bytes() == b"mine"
    assert caltech101.verify(root).altered == ["accordion/image_0001.jpg"]


def test_a_repair_that_fails_in_writing_loses_nothing(
    root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "Faces/image_0001.jpg").write_bytes(b"mine")

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", full)
        with pytest.raises(DatasetError, match="no space") as error:
            caltech101.repair(root, archive)
    assert is_sentence(error)
    assert (root / "Faces/image_0001.jpg").read_bytes() == b"mine"
    assert caltech101.verify(root).extra == []


# -- The real photos


@pytest.mark.skipif(REAL_PHOTOS is None, reason="the photos of Caltech-101 are not here")
def test_the_real_photos_are_verified_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL_PHOTOS is not None
    monkeypatch.setattr(caltech101, "manifest", REAL_MANIFEST)
    start = time.monotonic()
    found = caltech101.verify(REAL_PHOTOS)
    seconds = time.monotonic() - start
    assert found.ok, str(found)
    assert found.sha256 == REAL_MANIFEST().set_index("path")["sha256"].to_dict()
    assert seconds < 10
