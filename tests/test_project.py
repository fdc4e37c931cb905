"""The files around the package agree with each other, and notebooks are as they should be."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from caltech_lab import series

ROOT = Path(__file__).resolve().parents[1]


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("path", series.notebooks(), ids=lambda path: path.stem)
def test_committed_notebooks_are_as_make_notebooks_leaves_them(path: Path) -> None:
    assert series.faults(path) == []


def test_there_are_eight_notebooks_or_more() -> None:
    assert len(series.notebooks()) >= 8


@pytest.mark.parametrize("dataset", ["all", "drawn"])
def test_checkpoints_are_recorded_for_every_notebook(dataset: str) -> None:
    recorded = json.loads((ROOT / "notebooks" / "checkpoints.json").read_text())
    stems = [path.stem for path in series.notebooks()]
    keys = {stem[:2] if stem[0].isdigit() else stem for stem in stems}
    assert set(recorded[f"{dataset}/resnet50"]) == keys


def test_no_photograph_of_caltech101_is_committed() -> None:
    pictures = tracked("*.jpg", "*.jpeg", "*.JPG")
    assert [path for path in pictures if path.parent != ROOT / "notebooks" / "images"] == []


def test_no_file_speaks_of_the_machine_it_was_made_on() -> None:
    names = re.compile(
        r"/(?:root|home/\w+|Users/\w+|work|opt/wheels)/|pypi\.org/simple|--index-url"
    )
    texts = tracked(
        "*.py", "*.md", "*.toml", "*.yml", "*.txt", "*.json", "*.ipynb", "Makefile", ".ci/run"
    )
    here = {Path(__file__), ROOT / "caltech_lab/series.py", ROOT / "tests/test_series.py"}
    found = [
        str(path.relative_to(ROOT))
        for path in texts
        if path not in here and names.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []
