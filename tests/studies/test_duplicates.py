"""Near-duplicates: copies and crops are found, and photos that only resemble each other are not."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from caltech_lab.datasets import folder
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import Embeddings, load
from caltech_lab.embedding.extraction import extract
from caltech_lab.errors import ArgumentError
from caltech_lab.studies import duplicates
from caltech_lab.studies.duplicates import Thresholds, find_duplicates, groups, perceptual_hash

# Raw pixels are no judge of crops, so only the hash and the place are left to tell.
LENIENT = Thresholds(crop_cosine=-1.0, crop_candidates=50)


def embedded(root: Path, out: Path) -> Embeddings:
    photos = folder.scan(root)
    goal = out / photos.name / "pixels" / "features"
    extract(photos, backbone("pixels"), goal)
    return load(goal, photos)


@pytest.fixture
def album(drawn_sample: Path, tmp_path: Path) -> Path:
    """Give seven different photos, and in `again` what became of some of them."""
    root = tmp_path / "album"
    for place in ("first", "again"):
        (root / place).mkdir(parents=True)
    things = (
        "butterfly",
        "lotus",
        "pizza",
        "schooner",
        "stop_sign",
        "sunflower",
        "watch",
        "umbrella",
    )
    for thing in things:
        with Image.open(drawn_sample / thing / "image_0003.jpg") as photo:
            photo.save(root / "first" / f"{thing}.png")
    with Image.open(root / "first" / "pizza.png") as photo:
        photo.reduce(2).convert("RGB").save(root / "again" / "pizza small.jpg", quality=50)
    with Image.open(root / "first" / "watch.png") as photo:
        brighter = ImageEnhance.Brightness(photo.convert("RGB")).enhance(1.1)
        brighter.save(root / "again" / "watch brighter.jpg")
    with Image.open(root / "first" / "schooner.png") as photo:
        w, h = photo.size
        box = round(0.2 * w), round(0.1 * h), round(0.85 * w), round(0.75 * h)
        photo.crop(box).save(root / "again" / "schooner crop.png")
    (root / "again" / "lotus same.png").write_bytes((root / "first" / "lotus.png").read_bytes())
    return root


def found(embeddings: Embeddings, pairs: pd.DataFrame) -> set[tuple[str, str, str]]:
    path = embeddings.photos.table["path"]
    return {
        (*sorted((Path(path[a]).stem, Path(path[b]).stem)), kind)
        for a, b, kind in zip(pairs["a"], pairs["b"], pairs["kind"], strict=True)
    }


def test_copies_and_crops_are_found_and_nothing_else(album: Path, tmp_path: Path) -> None:
    embeddings = embedded(album, tmp_path / "out")
    pairs = find_duplicates(embeddings, thresholds=LENIENT)
    assert found(embeddings, pairs) == {
        ("lotus", "lotus same", "same bytes"),
        ("pizza", "pizza small", "copy"),
        ("watch", "watch brighter", "copy"),
        ("schooner", "schooner crop", "crop"),
    }
    assert (pairs["a"] < pairs["b"]).all()
    assert pairs["cosine"].is_monotonic_decreasing
    assert len(find_duplicates(embeddings, crops=False)) == 3
    group = groups(pairs, len(embeddings))
    assert np.bincount(group[group >= 0]).tolist() == [2, 2, 2, 2]


def test_both_measures_must_agree(album: Path, tmp_path: Path) -> None:
    embeddings = embedded(album, tmp_path / "out")
    for strict in (Thresholds(hash_distance=-1), Thresholds(cosine=1.1)):
        pairs = find_duplicates(embeddings, crops=False, thresholds=strict)
        assert set(pairs["kind"]) == {"same bytes"}


def test_many_files_of_the_same_bytes_are_one_star_and_not_all_pairs(
    drawn_sample: Path, tmp_path: Path
) -> None:
    (tmp_path / "album").mkdir()
    for number in range(40):
        copy = tmp_path / "album" / f"{number}.jpg"
        shutil.copyfile(drawn_sample / "pizza" / "image_0001.jpg", copy)
    embeddings = embedded(tmp_path / "album", tmp_path / "out")
    pairs = find_duplicates(embeddings)
    assert len(pairs) == 39
    assert set(groups(pairs, 40)) == {0}


def test_a_hash_survives_scaling_and_light_and_tells_photos_apart(drawn_sample: Path) -> None:
    hashes = {}
    for thing in ("pizza", "lotus", "ketch"):
        photo = Image.open(drawn_sample / thing / "image_0002.jpg").convert("L")
        hashes[thing] = perceptual_hash(np.asarray(photo))
        for other in (photo.reduce(2), ImageEnhance.Brightness(photo).enhance(0.9)):
            bits = np.bitwise_count(perceptual_hash(np.asarray(other)) ^ hashes[thing]).sum()
            assert bits <= 6
    for a, b in (("pizza", "lotus"), ("pizza", "ketch"), ("lotus", "ketch")):
        assert np.bitwise_count(hashes[a] ^ hashes[b]).sum() > 12


def test_groups_are_chains_of_pairs_the_largest_first() -> None:
    pairs = pd.DataFrame({"a": [5, 0, 1], "b": [6, 1, 2]})
    assert groups(pairs, 8).tolist() == [0, 0, 0, -1, -1, 1, 1, -1]
    assert groups(pairs.iloc[:0], 3).tolist() == [-1, -1, -1]
    with pytest.raises(ArgumentError, match="more than 4 photos"):
        groups(pairs, 4)


def test_a_copy_may_differ_in_as_many_bits_as_allowed_and_no_more() -> None:
    X = np.ones((3, 1), np.float32)
    hashes = np.zeros((3, 8), np.uint8)
    hashes[1, 0], hashes[2] = 0b111, 255  # 3 bits from the first, 61 from each other
    for allowed, expected in ((2, []), (3, [(0, 1)])):
        table = duplicates._copies(X, hashes, np.arange(3), Thresholds(hash_distance=allowed))
        assert [*zip(table["a"], table["b"], strict=True)] == expected


def test_a_crop_is_found_whichever_of_the_two_comes_first(album: Path) -> None:
    whole, part = (
        np.asarray(Image.open(album / name).convert("L").resize(size))
        for name, size in (("first/schooner.png", (96, 72)), ("again/schooner crop.png", (62, 47)))
    )
    X = np.ones((2, 1), np.float32)
    for views in ([whole, part], [part, whole]):
        assert len(duplicates._crops(X, views, np.arange(2), LENIENT)) == 1


def test_a_photo_that_vanishes_costs_one_photo(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embeddings = embedded(album, tmp_path)
    pairs = find_duplicates(embeddings, crops=False)
    before = found(embeddings, pairs)
    row = next(a for a, kind in pairs[["a", "kind"]].values if kind == "copy")
    gone = embeddings.photos.file(int(row))
    gone.unlink()
    capsys.readouterr()
    after = found(embeddings, find_duplicates(embeddings, crops=False))
    assert f"1 of {len(embeddings):,} photos cannot be read" in capsys.readouterr().out
    assert after == {pair for pair in before if gone.stem not in pair}
