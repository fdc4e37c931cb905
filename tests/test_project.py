"""The files around the package agree with each other, and notebooks are as they should be."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from caltech_lab import series

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = {r.name: r for r in map(Requirement, PROJECT["dependencies"])}
EXTRAS = PROJECT["optional-dependencies"].values()
OPTIONAL = {r.name: r for extra in EXTRAS for r in map(Requirement, extra)}
CONDA_NAMES = {"pytorch": "torch"}


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def test_conda_environment_has_the_ranges_of_the_project() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    listed = [Requirement(line) for line in environment["dependencies"] if isinstance(line, str)]
    conda = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in listed}
    assert conda.pop("python") == PROJECT["requires-python"]
    conda.pop("pip")
    assert conda == {name: requirement.specifier for name, requirement in REQUIRED.items()}


def test_constraints_pin_a_version_inside_each_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {r.name.lower(): r for r in map(Requirement, filter(str.strip, (
        line.partition("#")[0] for line in lines
    )))}  # fmt: skip
    for name, requirement in (REQUIRED | OPTIONAL).items():
        (pin,) = pins[name.lower()].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(Version(pin.version)), name
    assert pins["torch"].specifier == "==2.13.0"
    assert pins["torchvision"].specifier == "==0.28.0"


def test_the_readme_says_what_each_dependency_is_for() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in REQUIRED if not re.search(rf"`{name}`", readme)] == []


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


def test_nothing_is_ever_unpickled() -> None:
    unsafe = re.compile(
        r"import (?:c?pickle|dill|joblib)|from joblib import|(?:pickle|joblib)\.load"
        r"|allow_pickle=True|weights_only=False|read_pickle"
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked("caltech_lab/*.py", "notebooks/*.ipynb")
        for line in path.read_text(encoding="utf-8").splitlines()
        if unsafe.search(line)
    ]
    assert found == []


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
