"""What the tests of the larger tools share; without them installed, all are passed over."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from caltech_lab.datasets import folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.scale import addresses

ray = pytest.importorskip("ray", reason="needs `pip install 'caltech-lab[scale]'`")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
MB = 2**20


@pytest.fixture
def photos(_drawn_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Photos:
    """84 good photos, some that cannot be read, and a copy; in parts of 10."""
    root = tmp_path / "photos"
    shutil.copytree(_drawn_once, root)
    first = sorted(root.rglob("*.jpg"))
    (first[3].with_name("empty.jpg")).write_bytes(b"")
    (first[20].with_name("cut.jpg")).write_bytes(first[20].read_bytes()[:900])
    (first[40].with_name("text.png")).write_text("not a photo")
    (first[60].with_name("copy.jpg")).write_bytes(first[0].read_bytes())
    monkeypatch.setattr(addresses, "PHOTOS_A_PART", 10)
    return folder.scan(root)


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """Ray, started once for the tests of a file."""
    ray.init(
        address="local", num_cpus=3, include_dashboard=False, object_store_memory=200 * MB,
        log_to_driver=False, logging_level="ERROR",
    )  # fmt: skip
    yield
    ray.shutdown()
