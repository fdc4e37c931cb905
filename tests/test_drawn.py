"""The drawn sample: the same everywhere, varied, and never written over a reader's files."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caltech_lab.datasets import drawn
from caltech_lab.datasets.brush import Brush, Chance
from caltech_lab.datasets.motifs import MOTIFS
from caltech_lab.errors import DatasetError


def digest(photo: Image.Image) -> str:
    return hashlib.sha256(f"{photo.mode}{photo.size}".encode() + photo.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def photos() -> dict[str, list[Image.Image]]:
    return {name: [drawn.draw(name, i) for i in range(1, 5)] for name in drawn.CATEGORIES}


@pytest.fixture
def two_categories(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(drawn, "CATEGORIES", ("cup", "ketch"))
    return drawn.CATEGORIES


def test_there_are_enough_categories_and_they_are_caltech_101s() -> None:
    assert len(drawn.CATEGORIES) >= 12
    assert drawn.PHOTOS_PER_CATEGORY >= 24
    manifest = Path(drawn.__file__).with_name("caltech101.csv").read_text(encoding="utf-8")
    assert [name for name in drawn.CATEGORIES if f"{name}/image_0001.jpg" not in manifest] == []


def test_a_fresh_process_draws_the_same_pixels(photos: dict[str, list[Image.Image]]) -> None:
    code = (
        "import hashlib; from caltech_lab.datasets.drawn import CATEGORIES, draw\n"
        "for name in reversed(CATEGORIES):\n"
        "    p = draw(name, 2)\n"
        "    head = f'{p.mode}{p.size}'.encode()\n"
        "    print(name, hashlib.sha256(head + p.tobytes()).hexdigest())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    elsewhere = dict(line.split() for line in answer.stdout.splitlines())
    assert elsewhere == {name: digest(made[1]) for name, made in photos.items()}


def test_another_seed_draws_another_photo() -> None:
    assert digest(drawn.draw("pizza", 1, seed=1)) != digest(drawn.draw("pizza", 1, seed=2))


def test_no_two_photos_are_alike(photos: dict[str, list[Image.Image]]) -> None:
    every = [photo for made in photos.values() for photo in made]
    assert len({digest(photo) for photo in every}) == len(every)
    small = np.stack([np.asarray(p.convert("L").resize((32, 32)), float) for p in every])
    apart = np.abs(small[:, None] - small[None]).mean(axis=(2, 3))
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 5, "two photos differ by less than 5 of 255 grey levels"


def test_sizes_and_modes_are_those_of_photographs(photos: dict[str, list[Image.Image]]) -> None:
    every = [photo for made in photos.values() for photo in made]
    assert {photo.mode for photo in every} == {"L", "RGB"}
    assert all(196 <= min(p.size) <= 240 and 250 <= max(p.size) <= 300 for p in every)
    assert {p.width > p.height for p in every} == {True, False}


def test_no_photo_is_flat_or_burnt_out(photos: dict[str, list[Image.Image]]) -> None:
    for name, made in photos.items():
        for photo in made:
            grey = np.asarray(photo.convert("L"))
            assert grey.std() > 8, name
            assert ((grey == 0) | (grey == 255)).mean() < 0.35, name


@pytest.mark.parametrize("category", drawn.CATEGORIES)
def test_every_category_varies_in_colour_place_and_shape(
    category: str, photos: dict[str, list[Image.Image]]
) -> None:
    made = photos[category]
    means = np.stack([np.asarray(p.convert("RGB"), float).mean(axis=(0, 1)) for p in made])
    assert means.std(axis=0).max() > 4, "every photo has the same colours"
    assert len({photo.size for photo in made}) > 1
    outlines = []
    for number in range(1, 5):  # the object alone, without its background
        c = Chance(f"{drawn.SEED}/{category}/{number}")
        brush = Brush(64, 64, [[28, 0, 32], [0, 28, 32], [0, 0, 1]])
        MOTIFS[category].paint(brush, c)
        alpha = np.asarray(brush.image())[..., 3] / 255
        assert alpha.mean() > 0.08, "hardly anything was painted"
        outlines.append(np.asarray(brush.image().convert("RGB"), float) * alpha[..., None])
    differ = np.abs(np.stack(outlines)[:, None] - np.stack(outlines)[None]).mean(axis=(2, 3, 4))
    assert differ[~np.eye(4, dtype=bool)].min() > 1, "two objects are the same"


def test_an_unknown_category_is_told_in_a_sentence() -> None:
    with pytest.raises(DatasetError, match=r"unicorn cannot be drawn: choose one of .*pizza"):
        drawn.draw("unicorn", 1)


def test_the_folder_is_laid_out_as_caltech_101(
    tmp_path: Path, two_categories: tuple[str, ...]
) -> None:
    root = drawn.write(tmp_path / "deep" / "drawn", per_category=3)
    found = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.*"))
    names = [f"{name}/image_{i:04d}.jpg" for name in two_categories for i in (1, 2, 3)]
    assert found == sorted([*names, "drawn.json"])
    with Image.open(root / "cup" / "image_0002.jpg") as photo:
        assert photo.format == "JPEG"
        original = drawn.draw("cup", 2)
        gap = np.asarray(photo.convert("RGB"), float) - np.asarray(original.convert("RGB"), float)
    assert np.abs(gap).mean() < 6
    marker = json.loads((root / "drawn.json").read_text())
    assert marker["photos"] == dict.fromkeys(two_categories, 3)


@pytest.mark.usefixtures("two_categories")
def test_a_finished_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = drawn.write(tmp_path / "drawn", per_category=2)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    monkeypatch.setattr(drawn, "draw", lambda *_: pytest.fail("a photo was drawn again"))
    assert drawn.write(root, per_category=2) == root
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


@pytest.mark.usefixtures("two_categories")
@pytest.mark.parametrize("damage", ["missing", "empty", "other seed", "more photos"])
def test_a_drawn_folder_that_is_not_right_is_drawn_again(tmp_path: Path, damage: str) -> None:
    root = drawn.write(tmp_path / "drawn", per_category=1)
    photo = root / "cup" / "image_0001.jpg"
    before = photo.read_bytes()
    if damage == "missing":
        photo.unlink()
    if damage == "empty":
        photo.write_bytes(b"")
    drawn.write(
        root, seed=7 if damage == "other seed" else drawn.SEED, per_category=1 + ("more" in damage)
    )
    assert (photo.read_bytes() == before) == (damage != "other seed")
    assert (root / "cup" / "image_0002.jpg").exists() == (damage == "more photos")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["drawn"]


@pytest.mark.usefixtures("two_categories")
@pytest.mark.parametrize("marked", [True, False])
def test_a_readers_files_are_never_drawn_over(tmp_path: Path, marked: bool) -> None:
    root = tmp_path / "mine"
    if marked:
        drawn.write(root, per_category=1)
    (root / "cup").mkdir(parents=True, exist_ok=True)
    own = root / "cup" / "holiday.jpg"
    own.write_bytes(b"my only copy")
    with pytest.raises(DatasetError, match=r"holiday\.jpg was not drawn by this package.*\.$"):
        drawn.write(root, per_category=2)
    assert own.read_bytes() == b"my only copy"


def test_a_readers_photos_are_safe_even_under_our_names(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "cup" / "image_0001.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my only copy")
    with pytest.raises(DatasetError, match="was not drawn by this package"):
        drawn.write(tmp_path / "mine", per_category=1)
    assert own.read_bytes() == b"my only copy"


def test_a_file_in_the_way_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "drawn").write_text("a note")
    with pytest.raises(DatasetError, match="was not drawn by this package"):
        drawn.write(tmp_path / "drawn", per_category=1)
    assert (tmp_path / "drawn").read_text() == "a note"


@pytest.mark.usefixtures("two_categories")
@pytest.mark.parametrize("was_there", [True, False])
def test_an_interrupted_write_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    if was_there:
        drawn.write(tmp_path / "drawn", per_category=1)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.jpg")}
    real = drawn.draw

    def stop_at_the_third(category: str, number: int, seed: int) -> Image.Image:
        if (category, number) == ("ketch", 1):
            raise KeyboardInterrupt
        return real(category, number, seed)

    monkeypatch.setattr(drawn, "draw", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        drawn.write(tmp_path / "drawn", per_category=2)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.jpg")} == before
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["drawn"] * was_there


@pytest.mark.usefixtures("two_categories")
def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        drawn.write(tmp_path / "drawn", per_category=1)
    assert not (tmp_path / "drawn").exists()
