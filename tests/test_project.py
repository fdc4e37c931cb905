"""The files around the package agree with each other, and notebooks are as they should be."""

import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from caltech_lab.report.checkpoints import STRICT, read_record
from tools import series
from tools.recording import too_wide

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
    recorded = read_record(ROOT / "notebooks" / "checkpoints.json")
    keys = {series.key_of(path) for path in series.notebooks()}
    assert set(recorded[f"{dataset}/resnet50/bf16"]) == keys


def test_the_tolerance_of_every_checkpoint_is_narrow_enough_to_fail() -> None:
    assert too_wide(read_record(ROOT / "notebooks" / "checkpoints.json")) == []


def test_notebooks_are_tested_strictly_and_leave_readers_alone() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    runs = [line for line in lines if "--nbval-cell-timeout" in line]
    assert len(runs) == 4
    assert all("$(NBVAL)" in line for line in runs)
    assert [line.split()[0] for line in lines if f"{STRICT}=strict" in line] == ["NBVAL"]
    # With no word on tolerances in the notebooks, nothing else can make a checkpoint lenient.
    for path in series.notebooks():
        last = nbformat.read(path, as_version=4).cells[-1].source
        assert re.search(r"^check\(", last, re.M)
        assert "toleran" not in last


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
    here = {Path(__file__), ROOT / "tools/series.py", ROOT / "tests/tools/test_series.py"}
    found = [
        str(path.relative_to(ROOT))
        for path in texts
        if path not in here and names.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []
