"""The commands with Ray and Milvus, as processes."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

pytest.importorskip("milvus_lite", reason="Milvus Lite is not there")
SCHEMA = json.loads((files("caltech_lab.cli") / "output.schema.json").read_text("utf-8"))


def run(*words: object, code: int = 0) -> dict:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CALTECH_LAB_")}
    done = subprocess.run(
        [sys.executable, "-m", "caltech_lab", *map(str, words), "--json"],
        capture_output=True, text=True, timeout=280, env=clean | {"CALTECH_LAB_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr[-2000:]
    if code == 2:
        return {"error": done.stderr}
    value = json.loads(done.stdout)
    jsonschema.validate(value, SCHEMA)
    return value


def test_ray_and_milvus_from_the_shell(photos, tmp_path):
    common = ("--dataset", photos.root, "--backbone", "pixels", "--outputs", tmp_path / "out")
    told = run("extract", "--engine", "ray", "--workers", 2, *common)["result"]
    assert (told["n_photos"], told["n_embeddings"], len(told["failed"])) == (88, 85, 3)
    folder = next((tmp_path / "out").glob("*/pixels/features"))
    assert (folder / "shards" / "shard-000000.parquet").is_file()
    by_ray = np.load(folder / "embeddings.npy")
    again = run("extract", *common)["result"]
    assert again["n_extracted"] == 0

    name = f"milvus:{tmp_path / 'photos.db'}"
    assert run("index", "--gallery", name, *common)["result"] == {
        "n_photos": 85, "width": by_ray.shape[1], "gallery": name,
    }  # fmt: skip
    query = photos.root / "lotus" / "image_0002.jpg"
    exact = run("retrieve", query, "-k", 5, *common)["result"]["queries"]
    milvus = run("retrieve", query, "-k", 5, "--gallery", name, *common)["result"]["queries"]
    paths = [[a["path"] for a in told[0]["answers"]] for told in (exact, milvus)]
    assert paths[0] == paths[1]
    only = run("retrieve", query, "-k", 4, "--gallery", name, "--category", "pizza", *common)
    assert [a["category"] for a in only["result"]["queries"][0]["answers"]] == ["pizza"] * 4


def test_wrong_options_are_told(photos: Path, tmp_path: Path):
    common = ("--dataset", photos.root, "--backbone", "pixels", "--outputs", tmp_path / "out")
    assert "need --engine ray" in run("extract", "--workers", 2, *common, code=2)["error"]
    assert "--from needs --to" in run("extract", "--engine", "ray", "--from", tmp_path, *common,
                                      code=2)["error"]  # fmt: skip
    assert "is not one of exact" in run("index", "--gallery", "bogus", *common, code=2)["error"]
