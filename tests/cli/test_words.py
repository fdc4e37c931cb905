"""`retrieve --text`: queries in words, with a text tower and without one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.torchvision_operators import define_missing_operators
from caltech_lab.plots.photos import words_as_photo
from tests.cli.test_cli import Done, failed, run
from tests.cli.test_names import photo
from tests.tiny_clip import tiny_clip

BOAT, DOG = "a red boat", 'ein "Hund",\n猫 $5'


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give five photos in each of two categories, and one without."""
    root = tmp_path_factory.mktemp("home") / "photos"
    for seed in range(10):
        photo(root / ("cat", "dog")[seed % 2] / f"{seed}.png", seed)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    define_missing_operators()  # the library imports torchvision
    pytest.importorskip("open_clip")
    return f"clip:{tiny_clip(tmp_path_factory.mktemp('models') / 'tiny')}"


@pytest.fixture(scope="module")
def lab(photos: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    outputs = tmp_path_factory.mktemp("outputs")
    options = ("--dataset", photos, "--backbone", model, "--outputs", outputs)
    return lambda *words: run(*words, *options)


def test_words_are_ranked_by_cosine(lab: Any, model: str, photos: Path, tmp_path: Path) -> None:
    value = lab("retrieve", "--text", BOAT, "--text", DOG, "-k", 4, "--json").json
    assert value["backbone"] == "clip-tiny"
    lab("export", "--format", "npy", "--to", tmp_path)
    X, text = np.load(tmp_path / "embeddings.npy"), backbone(model).text
    paths = pd.read_csv(tmp_path / "photos.csv")["path"]
    assert text is not None
    for query, row in zip(value["result"]["queries"], text([BOAT, DOG]), strict=True):
        best = np.argsort(-(X @ row), kind="stable")[:4]
        assert [a["path"] for a in query["answers"]] == paths[best].tolist()
        near = [a["similarity"] for a in query["answers"]]
        np.testing.assert_allclose(near, (X @ row)[best], atol=1e-5)
    assert [query["text"] for query in value["result"]["queries"]] == [BOAT, DOG]
    assert all("photo" not in query for query in value["result"]["queries"])


def test_words_and_photos_are_searched_together(lab: Any, photos: Path, tmp_path: Path) -> None:
    query, sheet, table = photos / "cat" / "0.png", tmp_path / "s.png", tmp_path / "t.csv"
    words = ("retrieve", query, "--text", BOAT, "--sheet", sheet, "--csv", table)
    done = lab(*words)
    assert done.code == 0, done.err
    titles = [line for line in done.out.splitlines() if line.endswith(":")]
    assert titles == [f"{query}:", f'"{BOAT}":']
    # Without -k, the photo itself is left out of its own results, and of no others.
    assert pd.read_csv(table)["query"].tolist() == [str(query)] * 9 + [BOAT] * 10
    with Image.open(sheet) as picture:
        assert picture.width > 400
    first, second = lab(*words, "--json").json["result"]["queries"]
    assert (first["photo"], second["text"]) == (str(query), BOAT)
    failed(lab("retrieve", query, "--text", BOAT, "-k", 10), "so at most 9 results.")
    assert len(lab("retrieve", "--text", BOAT, "-k", 10).out.splitlines()) == 11


def test_words_within_a_category_and_through_another_gallery(lab: Any) -> None:
    everything = lab("retrieve", "--text", BOAT, "--json").json["result"]["queries"][0]["answers"]
    only = [answer["path"] for answer in everything if answer["category"] == "dog"]
    for options in (("--category", "dog"), ("--category", "dog", "--gallery", "hnsw")):
        value = lab("retrieve", "--text", BOAT, *options, "--json").json
        assert [a["path"] for a in value["result"]["queries"][0]["answers"]] == only


def test_words_on_a_sheet_warn_of_nothing(
    lab: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    words = ("--text", DOG, "--text", "very " * 100, "--text", "\x1b[2J", "--text", "x" * 200)
    done = lab("retrieve", *words, "-k", 2, "--sheet", tmp_path / "s.png")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + done.err
    assert not [w for w in recwarn if "Glyph" in str(w.message) or "layout" in str(w.message)]


def test_empty_words_are_a_sentence(lab: Any) -> None:
    failed(lab("retrieve", "--text", " "), "A text query is empty", "describe what the photos")


def test_doctor_tells_of_the_model(lab: Any) -> None:
    checks = {check["name"]: check for check in lab("doctor", "--json").json["result"]["checks"]}
    assert "CLIP tiny, sha256" in checks["weights"]["found"]


def test_doctor_downloads_no_weights(
    model: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    monkeypatch.setattr(open_clip, "download_pretrained", None)
    done = run("doctor", "--json", "--dataset", photos, "--backbone", "clip-ViT-B-32",
               "--outputs", tmp_path)  # fmt: skip
    checks = {check["name"]: check for check in done.json["result"]["checks"]}
    assert (checks["weights"]["status"], checks["speed"]["status"]) == ("note", "note")


# ---- without the extra -------------------------------------------------------------------------


def test_a_backbone_without_a_text_tower_says_what_to_do(photos: Path, tmp_path: Path) -> None:
    options = ("--dataset", photos, "--backbone", "pixels", "--outputs", tmp_path)
    failed(run("retrieve", "--text", BOAT, *options),
           "raw pixels cannot embed words: ", "--backbone clip-ViT-B-32.")  # fmt: skip
    assert not [*tmp_path.rglob("*.npy")]  # and says so before any photo is embedded


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("clip-ViT-B-32", "open_clip", "text"), ("clip:m", "open_clip", "text"),
     ("timm-vit", "timm", "timm")],
)  # fmt: skip
def test_backbones_of_other_libraries_say_how_to_install_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, package: str, extra: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("clip", "timm_models"):  # which an earlier test may have imported
        monkeypatch.delitem(sys.modules, f"caltech_lab.embedding.{module}", raising=False)
    options = ("--dataset", photos, "--backbone", name, "--outputs", tmp_path)
    failed(run("retrieve", "--text", BOAT, *options),
           f"The backbone {name} needs an extra package: ", f"caltech-lab[{extra}]")  # fmt: skip


def test_no_query_at_all_is_a_sentence(photos: Path) -> None:
    done = run("retrieve", "--dataset", photos)
    assert done.code == 2
    assert "name a photo, or describe one with --text" in " ".join(done.err.split())


def test_a_tile_of_words_shows_them() -> None:
    tile, empty = (np.asarray(words_as_photo(words, 240)) for words in (BOAT, " "))
    assert tile.shape == (240, 240, 3)
    assert (tile < 100).any()
    assert not (empty < 100).any()
