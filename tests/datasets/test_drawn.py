"""The drawn sample: the same bytes everywhere, and never written over a reader's files."""

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from caltech_lab.datasets import drawn
from caltech_lab.datasets.unlabeled_sample import sample_folder
from caltech_lab.errors import DatasetError
from caltech_lab.storage.files import sha256_of


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.jpg")}


def digest(files: dict[str, bytes]) -> str:
    """Return one sha256 for the names and the bytes of many files."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture
def other_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package read an archive that a test may damage."""
    path = tmp_path / "package" / "drawn.zip"
    path.parent.mkdir()
    path.write_bytes(drawn.ARCHIVE.read_bytes())
    monkeypatch.setattr(drawn, "ARCHIVE", path)
    return path


# ---- the archive -----------------------------------------------------------------------------


def test_there_are_enough_categories_and_they_are_caltech_101s() -> None:
    assert len(drawn.CATEGORIES) >= 12
    assert drawn.PHOTOS_PER_CATEGORY >= 24
    manifest = Path(drawn.__file__).with_name("caltech101.csv").read_text(encoding="utf-8")
    assert [name for name in drawn.CATEGORIES if f"{name}/image_0001.jpg" not in manifest] == []


def test_the_bytes_are_those_that_figures_were_recorded_for() -> None:
    """Other pictures mean other embeddings: record the notebooks' checkpoints again."""
    assert sha256_of(drawn.ARCHIVE) == drawn.SHA256
    with drawn.opened() as archive:
        photos = {name: archive.read(name) for name in archive.namelist()}
    assert len(photos) == 336 + 5
    golden = {
        "copies/pizza 3.jpg": "137154c3ba32e7526185457b80859f8f1ab660462993832bb17139b955f442e0",
        "drawn/butterfly/image_0001.jpg": (
            "f17a1075505ca774a7e40a0bc228a2a3b61ddc3ac230f0d84ab98dd8b969eec1"
        ),
        "drawn/ketch/image_0007.jpg": (
            "09cc545afeb63c66c7d534d04d5082bcfd092ec1e7790f40e99bdba90332892f"
        ),
        "drawn/starfish/image_0001.jpg": (
            "cb60b6311c7a9183e8629f2d64d8691616da3cf55baaacbbe8e94a80fe4c5eca"
        ),
        "drawn/water_lilly/image_0024.jpg": (
            "2a6e4621cadad67f2bfa4f73812c6f9a8f2d9aa2b0314386202174f1463cf736"
        ),
    }
    assert {name: hashlib.sha256(photos[name]).hexdigest() for name in golden} == golden


@pytest.mark.parametrize("fault", ["missing", "a folder", "empty", "cut off", "garbled", "longer"])
@pytest.mark.parametrize("user", [drawn.unpack, sample_folder])
def test_a_damaged_archive_is_told_in_a_sentence(
    user: object, fault: str, other_archive: Path, tmp_path: Path
) -> None:
    whole = bytearray(other_archive.read_bytes())
    other_archive.unlink()
    if fault == "a folder":
        other_archive.mkdir()
    elif fault != "missing":
        whole[len(whole) // 2] ^= fault == "garbled"
        keep = {"empty": 0, "cut off": len(whole) // 3}.get(fault, len(whole))
        other_archive.write_bytes(whole[:keep] + b"more" * (fault == "longer"))
    with pytest.raises(DatasetError) as caught:
        user(tmp_path / "goal")
    assert str(caught.value) == (
        f"{other_archive} is missing or damaged: install caltech-lab again."
    )
    assert not (tmp_path / "goal").exists()


# ---- unpacking -------------------------------------------------------------------------------


def test_the_folder_is_laid_out_as_caltech_101(tmp_path: Path) -> None:
    root = drawn.unpack(tmp_path / "deep" / "drawn")
    names = {f"{c}/image_{i:04d}.jpg" for c in drawn.CATEGORIES for i in range(1, 25)}
    assert set(contents(root)) == names
    assert (
        digest(contents(root)) == "13cd4bc4618bf81ac78924c3f69a4b939d79a7b50bbc7298a6790d9aec2388b6"
    )
    assert [p.name for p in root.iterdir() if not p.is_dir()] == ["drawn.json"]
    for name in sorted(names)[::20]:
        with Image.open(root / name) as photo:
            assert photo.format == "JPEG"
            photo.load()
    marker = json.loads((root / "drawn.json").read_text())
    assert marker == {"sha256": drawn.SHA256, "photos": dict.fromkeys(drawn.CATEGORIES, 24)}


def test_unpacking_takes_about_a_second(tmp_path: Path) -> None:
    began = time.perf_counter()
    drawn.unpack(tmp_path / "drawn")
    assert time.perf_counter() - began < 10, "0.1 s on an idle machine"


def test_a_finished_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = drawn.unpack(tmp_path / "drawn")
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked again"))
    assert drawn.unpack(root) == root
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


OLDER = {"version": 1, "seed": 101, "photos": {"cup": 1, "cougar_face": 2}}


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off", "no longer a file", "older"])
def test_a_folder_that_is_not_right_is_unpacked_again(tmp_path: Path, damage: str) -> None:
    root = drawn.unpack(tmp_path / "drawn")
    before = contents(root)
    photo = root / "cup" / "image_0001.jpg"
    if damage == "cut off":
        photo.write_bytes(photo.read_bytes()[:-1])
    if damage == "empty":
        photo.write_bytes(b"")
    if damage in ("missing", "no longer a file"):
        photo.unlink()
    if damage == "no longer a file":
        photo.mkdir()
    if damage == "older":  # with other pictures, some under names that are no longer used
        for path in root.rglob("*.jpg"):
            path.unlink()
        for name in ("cup/image_0001", "cougar_face/image_0001", "cougar_face/image_0002"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / f"{name}.jpg").write_bytes(b"an older picture")
        (root / "drawn.json").write_text(json.dumps(OLDER))
    assert drawn.unpack(root) == root
    assert contents(root) == before
    assert not (root / "cougar_face").exists()
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["drawn"]


@pytest.mark.parametrize("marked", [True, False])
def test_a_readers_files_are_never_written_over(tmp_path: Path, marked: bool) -> None:
    root = tmp_path / "mine"
    if marked:
        drawn.unpack(root)
        (root / "pizza" / "image_0001.jpg").unlink()
    (root / "cup").mkdir(parents=True, exist_ok=True)
    own = root / "cup" / "holiday.jpg"
    own.write_bytes(b"my only copy")
    before = contents(root)
    with pytest.raises(DatasetError, match=r"holiday\.jpg does not belong to the drawn .*\.$"):
        drawn.unpack(root)
    assert contents(root) == before


def test_a_readers_photos_are_safe_even_under_our_names(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "cup" / "image_0001.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my only copy")
    with pytest.raises(DatasetError, match="does not belong to the drawn sample"):
        drawn.unpack(tmp_path / "mine")
    assert own.read_bytes() == b"my only copy"


def test_a_file_in_the_way_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "drawn").write_text("a note")
    with pytest.raises(DatasetError, match="does not belong to the drawn sample"):
        drawn.unpack(tmp_path / "drawn")
    assert (tmp_path / "drawn").read_text() == "a note"


KILLED = """
import os, signal, sys, zipfile
from pathlib import Path
from caltech_lab.datasets import drawn

real, left = zipfile.ZipFile.read, iter(range(100))

def read(*arguments):
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

zipfile.ZipFile.read = read
drawn.unpack(Path(sys.argv[1]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("was_there", [True, False])
def test_killed_in_the_middle_nothing_half_is_there(tmp_path: Path, was_there: bool) -> None:
    root = tmp_path / "drawn"
    if was_there:
        drawn.unpack(root)
        (root / "cup" / "image_0001.jpg").unlink()
    before = contents(root)
    done = subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)
    assert done.returncode == -9
    assert contents(root) == before
    assert root.exists() == was_there
    # What it left beside the folder is gone after the next call, which unpacks all.
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1 + was_there
    assert len(contents(drawn.unpack(root))) == 336
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["drawn"]


@pytest.mark.parametrize("was_there", [True, False])
def test_an_interrupted_unpacking_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    root = tmp_path / "drawn"
    if was_there:
        drawn.unpack(root)
        (root / "cup" / "image_0001.jpg").unlink()
    before = contents(root)
    real = zipfile.ZipFile.read

    def stop_in_the_middle(archive: zipfile.ZipFile, name: str) -> bytes:
        if name.endswith("ketch/image_0001.jpg"):
            raise KeyboardInterrupt
        return real(archive, name)

    monkeypatch.setattr(zipfile.ZipFile, "read", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        drawn.unpack(root)
    assert contents(root) == before
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["drawn"] * was_there


def test_two_processes_unpack_it_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from caltech_lab.datasets import drawn\n"
        "drawn.unpack(Path(sys.argv[1]))"
    )
    root = tmp_path / "drawn"
    both = [subprocess.Popen([sys.executable, "-c", code, str(root)]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert len(contents(root)) == 336
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["drawn"]


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        drawn.unpack(tmp_path / "drawn")
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


# ---- the folder for the notebook of own photos -----------------------------------------------


def test_the_folder_of_own_photos_is_the_same_bytes_everywhere(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path / "own")
    files = contents(folder)
    assert len(files) == 64 + 5
    assert digest(files) == "8b6603f1ab8046f2565c81b9e19d02c2abfea6d2a4c737fec3a8f0537901bf98"
    for name in [name for name in files if name.endswith(", a copy.jpg")]:
        with (
            Image.open(folder / name) as copy,
            Image.open(folder / name.replace(", a copy", "")) as photo,
        ):
            assert copy.size == photo.size
        assert len(files[name]) < 0.6 * len(files[name.replace(", a copy", "")])


def test_photos_that_are_there_already_are_left_alone(tmp_path: Path) -> None:
    folder = sample_folder(tmp_path / "own")
    (folder / "pizza 1.jpg").write_bytes(b"changed by the reader")
    (folder / "pizza 2.jpg").unlink()
    sample_folder(folder)
    assert (folder / "pizza 1.jpg").read_bytes() == b"changed by the reader"
    assert (folder / "pizza 2.jpg").is_file()
