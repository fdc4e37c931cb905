"""A cache is never stale: the next call says in one line what changed, and extracts again."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caltech_lab.datasets import folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding import extraction
from caltech_lab.embedding.backbones import Backbone, backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.engines import Runtime
from caltech_lab.embedding.extraction import WORDS, ExtractionConfig, ExtractionReport, extract
from caltech_lab.errors import CacheError
from caltech_lab.lab import Lab

PIXELS = backbone("pixels")


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "photos" / "pixels" / "features"


def fresh(photos: Photos, network: Backbone = PIXELS) -> np.ndarray:
    """Give the rows that an extraction into an empty folder gives."""
    goal = photos.root.parent / "fresh" / "photos" / "pixels" / "features"
    extract(photos, network, goal)
    X: np.ndarray = load(goal, photos).X
    return X


def said(outcome: ExtractionReport) -> set[str]:
    """Give which of the things that may change the one line names."""
    assert "\n" not in outcome.why
    assert outcome.why.endswith(" changed.")
    return {key for key, word in WORDS.items() if word in outcome.why}


# What a photo's row depends on, and a way to change each of them and nothing else.
CHANGES: dict[str, Callable[..., ExtractionReport]] = {
    "weights_sha256": lambda photos, goal: extract(
        photos, replace(PIXELS, weights=lambda: "1" * 64), goal
    ),
    "transform": lambda photos, goal: extract(photos, replace(PIXELS, fit="crop"), goal),
    "precision": lambda photos, goal: extract(
        photos, PIXELS, goal, runtime=Runtime("numpy", "bf16")
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named_alone_and_all_is_extracted_again(
    photos: Photos, goal: Path, what: str
) -> None:
    extract(photos, PIXELS, goal)
    outcome = CHANGES[what](photos, goal)
    assert said(outcome) == {what}
    assert (outcome.n_extracted, outcome.n_reused) == (len(photos), 0)
    assert CHANGES[what](photos, goal).n_extracted == 0
    # And back again: what was made for the other recipe is not taken for this one's.
    assert said(extract(photos, PIXELS, goal)) == {what}
    np.testing.assert_array_equal(load(goal, photos).X, fresh(photos))


def test_another_version_of_the_extraction_is_named_alone(
    photos: Photos, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(photos, PIXELS, goal)
    monkeypatch.setattr(
        extraction, "ExtractionConfig", partial(ExtractionConfig, version=extraction.VERSION + 1)
    )
    outcome = extract(photos, PIXELS, goal)
    assert said(outcome) == {"version"}
    assert outcome.n_extracted == len(photos)


def test_two_changes_at_once_are_both_named(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    Image.new("RGB", (50, 40), "teal").save(photos.file(3), "JPEG")
    outcome = extract(folder.scan(photos.root), replace(PIXELS, fit="crop"), goal)
    assert said(outcome) == {"photos", "transform"}
    assert outcome.n_extracted == len(photos)


def test_rows_follow_the_transform_that_they_are_said_to_have(photos: Photos, goal: Path) -> None:
    cropped = replace(PIXELS, fit="crop")
    extract(photos, PIXELS, goal)
    extract(photos, cropped, goal)
    np.testing.assert_array_equal(load(goal, photos).X, fresh(photos, cropped))


def test_only_a_changed_photo_is_extracted_again(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    Image.new("RGB", (50, 40), "teal").save(photos.file(3), "JPEG")
    changed = folder.scan(photos.root)
    outcome = extract(changed, PIXELS, goal)
    assert said(outcome) == {"photos"}
    assert (outcome.n_extracted, outcome.n_reused) == (1, len(photos) - 1)
    np.testing.assert_array_equal(load(goal, changed).X, fresh(changed))


def test_one_bit_of_one_photo_is_enough(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    before, stamp = photos.file(5).read_bytes(), photos.file(5).stat()
    photos.file(5).write_bytes(before + b"\0")
    import os

    os.utime(photos.file(5), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert said(extract(folder.scan(photos.root), PIXELS, goal)) == {"photos"}


def test_photos_that_come_go_and_are_renamed_cost_only_the_new(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    photos.file(0).unlink()
    photos.file(2).rename(photos.file(2).with_name("renamed.png"))
    Image.new("RGB", (50, 40), "olive").save(photos.file(1).with_name("new one.jpg"), "JPEG")
    changed = folder.scan(photos.root)
    assert len(changed) == len(photos)
    assert extract(changed, PIXELS, goal).n_extracted == 1
    np.testing.assert_array_equal(load(goal, changed).X, fresh(changed))


def test_a_photo_in_another_category_changes_its_label(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    moved = photos.root / photos.categories[-1] / "moved.png"
    photos.file(0).rename(moved)
    changed = folder.scan(photos.root)
    outcome = extract(changed, PIXELS, goal)
    assert said(outcome) == {"photos"}
    assert outcome.n_extracted == 0
    labels = np.load(goal / "labels.npy", allow_pickle=False)
    np.testing.assert_array_equal(labels, changed.labels)


def test_what_was_made_of_the_embeddings_is_made_again_too(
    photos: Photos, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Lab(photos, PIXELS)
    tree, index = before.linkage(), before.index()
    Image.new("RGB", (50, 40), "teal").save(photos.file(3), "JPEG")
    after = Lab(folder.scan(photos.root), PIXELS)
    assert not np.array_equal(after.linkage(), tree)
    assert "Since these embeddings were made, the photos changed." in capsys.readouterr().out
    assert not np.array_equal(after.index().faiss.reconstruct(3), index.faiss.reconstruct(3))


def test_damaged_embeddings_are_not_believed(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    whole = load(goal, photos).X
    with open(goal / "embeddings.npy", "rb+") as file:
        file.seek(200)
        file.write(b"damage")
    with pytest.raises(CacheError, match="incomplete"):
        load(goal, photos)
    outcome = extract(photos, PIXELS, goal)
    assert outcome.why == "The embeddings are damaged or incomplete."
    assert outcome.n_extracted == len(photos)
    np.testing.assert_array_equal(load(goal, photos).X, whole)


def test_a_damaged_table_of_items_is_made_again_without_an_extraction(
    photos: Photos, goal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos.file(3).write_bytes(b"no photo")
    photos = folder.scan(photos.root)
    extract(photos, PIXELS, goal)
    whole = load(goal, photos)
    (goal / "items.parquet").write_bytes(b"damage")
    with pytest.raises(CacheError, match="incomplete"):
        load(goal, photos)
    assert extract(photos, PIXELS, goal).n_extracted == 0
    assert "items.parquet is damaged" in capsys.readouterr().out
    assert (goal / "items.parquet.damaged").read_bytes() == b"damage"
    again = load(goal, photos)
    assert again.identity == whole.identity
    assert again.photos.sha256 == whole.photos.sha256


@pytest.mark.parametrize("text", ["", "{", "[]", '{"photos": 7}', "\x80"])
def test_a_damaged_identity_is_not_believed(photos: Photos, goal: Path, text: str) -> None:
    extract(photos, PIXELS, goal)
    (goal / "identity.json").write_text(text, encoding="latin-1")
    assert extract(photos, PIXELS, goal).n_extracted == len(photos)
    assert extract(photos, PIXELS, goal).n_extracted == 0


def test_the_labels_of_another_time_are_not_believed(photos: Photos, goal: Path) -> None:
    extract(photos, PIXELS, goal)
    np.save(goal / "labels.npy", np.zeros(len(photos), np.int64))
    np.testing.assert_array_equal(load(goal, photos).y, photos.labels)
    (goal / "outcome.json").write_text(json.dumps({"failed": {}}))
    assert len(load(goal, photos)) == len(photos)
