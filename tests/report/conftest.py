"""A report that is made once, since it takes ten seconds."""

import shutil
from pathlib import Path

import pytest

from caltech_lab.datasets import folder
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.report.cards import write_cards
from caltech_lab.settings import settings


@pytest.fixture(scope="session")
def _reported_once(_drawn_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the cards of a few drawn photos, and the final report that they need first."""
    root = tmp_path_factory.mktemp("reported")
    shutil.copytree(_drawn_once, root / "photos")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CALTECH_LAB_OUTPUTS", str(root / "outputs"))
        settings.cache_clear()
        write_cards(Lab(folder.scan(root / "photos"), backbone("pixels")))
    settings.cache_clear()
    return root


@pytest.fixture
def reported_lab(_reported_once: Path, environment: pytest.MonkeyPatch) -> Lab:
    """Open the lab whose report is made; its outputs are not to be changed."""
    environment.setenv("CALTECH_LAB_OUTPUTS", str(_reported_once / "outputs"))
    settings.cache_clear()
    return Lab(folder.scan(_reported_once / "photos"), backbone("pixels"))
