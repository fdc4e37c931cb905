"""Each file that is read back may be damaged, foreign or a folder, and the result is still right.

It is set aside and made again, and other datasets under the same outputs do not notice.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from caltech_lab.datasets import folder, open_photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.retrieval.lab_store import store_of
from caltech_lab.settings import settings
from caltech_lab.studies.duplicates import near_duplicates
from tests.pictures import encode, picture

TINY = replace(backbone("pixels"), name="tiny", size=8, width=8 * 8 * 3)
FEATURES = "tiny/features"
TOLD = r"(kept as|renamed to) \S+\.damaged"
FILES = [
    "photos.parquet",
    *(f"{FEATURES}/{name}" for name in ("embeddings.npy", "items.parquet", "labels.npy")),
    *(f"{FEATURES}/{name}" for name in ("outcome.json", "identity.json", "journal.rows")),
    *(f"tiny/models/clustering/kmeans_k2.skops{end}" for end in ("", ".json")),
    *(f"tiny/results/duplicates/pairs.parquet{end}" for end in ("", ".json")),
    *(f"tiny/models/galleries/hnsw/{name}" for name in ("gallery.json", "gallery.faiss")),
    "tiny/models/galleries/hnsw/rows.npy",
    "tiny/models/galleries/*.json",
]


def garbled(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0x5A for byte in data[middle : middle + 8]) + data[middle:]


WAYS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbled": lambda path: path.write_bytes(garbled(path.read_bytes())),
    "another program's": lambda path: path.write_bytes(b"PK\x03\x04 something else"),
    "another version's": lambda path: another_version(path),
    "a folder": lambda path: (path.unlink(), path.mkdir(), (path / "mine").write_text("kept")),
}


def another_version(path: Path) -> None:
    """Leave a sound file of its format, with something else in it."""
    if path.suffix == ".json":
        path.write_text('{"version": 99, "failed": [1], "names": 5, "sha256": {}}')
    elif path.suffix == ".parquet":
        pd.DataFrame({"name": [1, 2]}).to_parquet(path)
    elif path.suffix == ".npy":
        np.save(path, np.arange(3))
    else:
        path.write_bytes(b'{"version": 99}\n' + path.read_bytes())


def everything(root: Path) -> dict[str, Any]:
    """Use all that is kept, as a new process would."""
    lab = Lab(open_photos(str(root)), TINY)
    found = store_of(lab, "hnsw")
    return {
        "X": lab.embeddings.X.tolist(),
        "sha256": lab.embeddings.photos.sha256,
        "paths": lab.embeddings.photos.table["path"].tolist(),
        "failed": [*lab.extraction.failed],
        "clusters": lab.kmeans(2).labels_.tolist(),
        "pairs": near_duplicates(lab).to_dict("list"),
        "found": found.search(lab.embeddings.X[:2], 3)[1].tolist(),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, dict[str, Any]]]:
    """Give a folder with two datasets and their outputs, and what should come of the first."""
    place = tmp_path_factory.mktemp("made")
    for name in ("one", "two"):
        for i in range(8):
            path = place / name / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shift = 3 * i + (name == "two")
            path.write_bytes(encode(picture(24 + shift, 40), "PNG"))
        (place / name / "a" / "bad.png").write_bytes(b"no photo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALTECH_LAB_OUTPUTS", str(place / "outputs"))
        patch.setattr(folder, "SETTLED", -1.0)
        settings.cache_clear()
        expected = everything(place / "one")
        (next((place / "outputs").glob("one-*")) / FEATURES / "journal.rows").write_bytes(b"{}\n")
        yield place, place / "outputs", expected
    settings.cache_clear()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_asked_for_is_right_and_others_do_not_notice(
    made: tuple[Path, Path, dict[str, Any]], name: str, way: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    place, outputs, expected = made
    shutil.copytree(outputs, tmp_path / "outputs")
    monkeypatch.setenv("CALTECH_LAB_OUTPUTS", str(tmp_path / "outputs"))
    settings.cache_clear()
    home = next((tmp_path / "outputs").glob("one-*"))
    (path,) = home.glob(name)
    WAYS[way](path)
    if path.name == "journal.rows":  # is read only while there are no embeddings
        (home / FEATURES / "identity.json").unlink()
    before = path.read_bytes() if path.is_file() else b""
    capsys.readouterr()
    other = Lab(open_photos(str(place / "two")), TINY)
    assert len(other.embeddings) == 8
    assert not re.search(TOLD, capsys.readouterr().out)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert everything(place / "one") == expected
    said = capsys.readouterr().out
    if way == "a folder" and name != f"{FEATURES}/labels.npy":
        (aside,) = home.rglob("mine")
        assert ".damaged" in str(aside.relative_to(home))
        assert re.search(TOLD, said)
    capsys.readouterr()
    assert everything(place / "one") == expected
    assert not re.search(TOLD, capsys.readouterr().out)
