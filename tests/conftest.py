"""What the tests share: a lab of their own, and a few drawn photos."""

import gc
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from caltech_lab.datasets import drawn, folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.settings import settings


def pytest_collection_finish() -> None:
    """Keep what the imports made out of the garbage collector's way.

    The package collects after each result that it keeps, and each time would look through all the
    objects of all the libraries that the tests have imported, in a third of a second.
    """
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from what a reader has in `outputs/`."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("CALTECH_LAB_")]:
        if name not in ("CALTECH_LAB_FUZZ", "CALTECH_LAB_THREADS"):
            del os.environ[name]
    os.environ["CALTECH_LAB_OUTPUTS"] = str(tmp_path_factory.mktemp("outputs"))
    settings.cache_clear()
    yield
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Give a way to set `CALTECH_LAB_*`; outputs go to a folder of the test's own."""
    monkeypatch.setenv("CALTECH_LAB_OUTPUTS", str(tmp_path / "outputs"))
    settings.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread.

    It does so little at a time on toy data that several threads do nothing but wait for each
    other: beside another program, fifteen times as long.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def drawn_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the whole sample of 336 photos; to be copied before it is damaged."""
    root = drawn.unpack(tmp_path_factory.mktemp("whole") / "drawn")
    (root / drawn.MARKER).unlink()
    return root


@pytest.fixture(scope="session")
def _drawn_once(drawn_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the first six photos per category; to be copied before it is damaged."""
    root = tmp_path_factory.mktemp("data") / "drawn"
    for photo in drawn_sample.glob("*/image_000[1-6].jpg"):
        copy = root / photo.relative_to(drawn_sample)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, copy)
    return root


@pytest.fixture(scope="module")
def small_lab(_drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Six drawn photos a category seen as 12 x 12 pixels, with outputs of their own."""
    root = tmp_path_factory.mktemp("small")
    shutil.copytree(_drawn_once, root / "photos")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CALTECH_LAB_OUTPUTS", str(root / "outputs"))
        settings.cache_clear()
        tiny = replace(backbone("pixels"), name="tiny", size=12, width=12 * 12 * 3)
        yield Lab(folder.scan(root / "photos"), tiny)
    settings.cache_clear()


@pytest.fixture
def photos(_drawn_once: Path, tmp_path: Path) -> Photos:
    """Six drawn photos a category, in a folder that the test may damage."""
    root = tmp_path / "photos"
    shutil.copytree(_drawn_once, root)
    return folder.scan(root)
