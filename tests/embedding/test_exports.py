"""Names of any kind in files for programs that know no quotes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.embedding.exports import write_npy, write_parquet, write_projector

NAMES = [
    "plain",
    "ta\tb",
    "new\nline",
    "re\rturn",
    "both\r\n",
    'quo"te,',
    "\x0b\x0c\x1c\x85",
    "猫\u2028",
]


def embeddings() -> Embeddings:
    X = np.eye(len(NAMES), dtype=np.float32)
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(len(NAMES))])
    return Embeddings.from_frame(table.assign(path=[f"{n}.png" for n in NAMES], category=NAMES))


def test_a_name_stays_in_its_cell_of_the_projector(tmp_path: Path) -> None:
    vectors, labels = write_projector(embeddings(), tmp_path)
    text = labels.read_bytes().decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == len(vectors.read_text().splitlines()) + 1
    rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    shown = ["".join(" " if c.isspace() else c for c in name) for name in NAMES]
    assert rows == [["category", "path"], *([name, f"{name}.png"] for name in shown)]


def test_a_table_for_people_keeps_every_name(tmp_path: Path) -> None:
    _, path = write_npy(embeddings(), tmp_path)
    kept = pd.read_csv(path, keep_default_na=False)
    assert kept["category"].tolist() == NAMES
    assert kept["path"].tolist() == [f"{name}.png" for name in NAMES]


def test_parquet_keeps_every_name_and_escapes_what_is_no_unicode(tmp_path: Path) -> None:
    given = embeddings()
    odd = given.photos.table.astype(object)
    odd.loc[0, "path"] = "q\udcff.png"
    path = write_parquet(
        replace(given, photos=Photos("odd", tmp_path, odd)), tmp_path / "embeddings.parquet"
    )
    kept = pd.read_parquet(path)
    assert kept["category"].tolist() == NAMES
    assert kept["path"].tolist() == [r"q\udcff.png", *(f"{name}.png" for name in NAMES[1:])]
