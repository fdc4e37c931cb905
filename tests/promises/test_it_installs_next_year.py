"""It installs next year: ranges that hold at both ends, and files that agree about them."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = {r.name: r for r in map(Requirement, PROJECT["dependencies"])}
EXTRAS = PROJECT["optional-dependencies"].values()
OPTIONAL = {r.name: r for extra in EXTRAS for r in map(Requirement, extra)}
CONDA_NAMES = {"pytorch": "torch", "py-opencv": "opencv-python-headless"}
MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
BUILT_ON = (ROOT / "docs" / "built_on.md").read_text()


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


def test_a_page_says_what_each_dependency_is_for() -> None:
    assert [name for name in REQUIRED if not re.search(rf"`{name}`", BUILT_ON)] == []


def test_each_range_has_a_lower_end_and_none_an_upper_one() -> None:
    """An upper end written today would keep a reader of next year from installing."""
    for name, requirement in REQUIRED.items():
        assert {bound.operator for bound in requirement.specifier} == {">="}, name


def test_what_is_installed_here_lies_in_the_ranges() -> None:
    for name, requirement in REQUIRED.items():
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(version(name).partition("+")[0]), name


def imported() -> dict[str, str]:
    """Give what the package imports from elsewhere, each with a module that does."""
    found = {}
    for path in sorted((ROOT / "caltech_lab").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                found[name.partition(".")[0]] = path.name
    return {n: p for n, p in found.items() if n not in sys.stdlib_module_names | {"caltech_lab"}}


# What comes with another package, and always has: it has no range of its own.
COMES_WITH = {
    "IPython": "ipywidgets",
    "nbformat": "jupyterlab",
    "nbclient": "jupyterlab",
    "traitlets": "ipywidgets",
    "open_clip": "open_clip_torch",  # another name, for where the extra is not installed
}


def test_whatever_the_package_imports_has_a_range() -> None:
    owners = packages_distributions()
    ours = {name.lower().replace("_", "-") for name in (REQUIRED | OPTIONAL)}
    missing = {
        name: module
        for name, module in imported().items()
        if COMES_WITH.get(name, name).lower().replace("_", "-") not in ours
        and not {owner.lower().replace("_", "-") for owner in owners.get(name, [])} & ours
    }
    assert missing == {}


@pytest.mark.parametrize("end", ["lowest", "newest"])
def test_make_has_a_job_for_each_end_that_runs_the_unit_tests(end: str) -> None:
    job = MAKEFILE[MAKEFILE.index(f"\ntest-{end}:") :].partition("\n\n")[0]
    assert f".venv-{end}/bin/python -m pip install" in job
    assert f".venv-{end}/bin/python -m pytest $(WORKERS) $(UNIT)" in job
    assert ("--resolution lowest-direct" in job) == (end == "lowest")
    done = subprocess.run(["make", "-n", f"test-{end}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_refuses_an_older_python_in_one_sentence(tmp_path: Path) -> None:
    older = tmp_path / "python3"
    older.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 10, 12)\nexec(sys.argv[2])\n"
    )
    older.chmod(0o755)
    # Without what a make around the tests would hand down.
    handed = ("MAKE", "MFLAGS")
    env = {name: value for name, value in os.environ.items() if not name.startswith(handed)}
    done = subprocess.run(
        ["make", "walkthrough", f"PYTHON={older}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    sentence, from_make = done.stderr.splitlines()
    needed = PROJECT["requires-python"].removeprefix(">=")
    assert sentence == (
        f"Python {needed} or newer is needed, and {older} is 3.10.12: "
        "make walkthrough PYTHON=python3.12"
    )
    assert from_make.startswith("make: ***")
    assert list(tmp_path.iterdir()) == [older]


def test_the_readme_says_the_python_that_is_needed() -> None:
    assert f"With Python {PROJECT['requires-python'].removeprefix('>=')} or later" in README


def test_a_page_says_which_ends_were_run() -> None:
    (line,) = re.findall(r"^`make test-lowest`.*(?:\n.+)*", BUILT_ON, re.MULTILINE)
    lowest = {name: min(b.version for b in r.specifier) for name, r in REQUIRED.items()}
    for name in ("numpy", "scikit-learn", "pandas", "scipy", "pillow", "openvino"):
        assert f"{name} {lowest[name]}" in " ".join(line.split()), name
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert f"torch {pins['torch']}" in " ".join(line.split())
