"""It installs next year, without a checkout: a wheel is all that the command needs, anywhere."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("setuptools", minversion="77", reason="the wheel is built without a network")

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = """
import socket
def connect(*_):
    raise OSError("there is no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = connect
"""


def python(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def committed() -> list[str]:
    """Name the files of the checkout, new ones included, that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, since a build leaves files that the next one would take up."""
    copy, goal = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in committed():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    python("-m", "pip", "wheel", copy, "--no-deps", "--no-build-isolation", "--no-index",
           "--wheel-dir", goal)  # fmt: skip
    (made,) = goal.glob("*.whl")
    return made


@dataclass
class Machine:
    """An environment with the wheel and what it depends on, and a folder to work in."""

    root: Path

    @property
    def programs(self) -> Path:
        return self.root / "environment" / ("Scripts" if os.name == "nt" else "bin")

    @property
    def folder(self) -> Path:
        return self.root / "folder of mine"

    def run(self, program: str, *words: object) -> "subprocess.CompletedProcess[str]":
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CALTECH_LAB_", "PYTHON", "XDG_", "MPL"))
        }
        one_core = {"OMP_NUM_THREADS": "1", "CALTECH_LAB_THREADS": "1"}
        places = dict.fromkeys(("HOME", "USERPROFILE"), str(self.root / "home"))
        places |= dict.fromkeys(("TMPDIR", "TEMP"), str(self.root / "temporary"))
        return subprocess.run(
            [str(self.programs / program), *map(str, words)], cwd=self.folder,
            env={**kept, **one_core, **places, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip

    def lab(self, *words: object) -> Any:
        """Run `caltech-lab`, and return the object that it prints."""
        done = self.run("caltech-lab", *words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def elsewhere(self) -> dict[Path, int]:
        """Return when each file of the environment and of the home folder was changed."""
        places = (self.root / "environment", self.root / "home")
        return {path: path.stat().st_mtime_ns for place in places for path in place.rglob("*")}


@pytest.fixture(scope="module")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    made = Machine(tmp_path_factory.mktemp("machine"))
    made.folder.mkdir()
    (made.root / "home").mkdir()
    (made.root / "temporary").mkdir()
    python("-m", "venv", "--without-pip", made.root / "environment")
    interpreter = made.programs / "python"
    python("-m", "pip", "--python", interpreter, "install", "--no-deps", "--no-index", wheel)
    # The dependencies of this environment, but not the checkout, which is known to it by a file
    # that such a list does not read.
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (own,) = (made.root / "environment").rglob("site-packages")
    (own / "offline.py").write_text(OFFLINE)
    (own / "here.pth").write_text("\n".join([*packages, "import offline", ""]), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def photos(machine: Machine) -> Path:
    """Make eight photos, each of sixteen colors, and beside them another of the fourth."""
    root = machine.folder / "photos"
    root.mkdir()
    for number in range(8):
        colors = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        photo = Image.fromarray(colors).resize((160, 120))
        photo.save(root / f"photo {number}.jpg")
        if number == 3:
            photo.save(machine.folder / "query.png")
    return root


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in committed() if name.startswith("caltech_lab/")}
    endings = {Path(name).suffix for name in names}
    assert endings >= {".safetensors", ".zip", ".csv", ".json", ".js", ".css", ".md", ".typed"}


def test_it_retrieves_from_any_folder_without_a_network(machine: Machine, photos: Path) -> None:
    before = machine.elsewhere()
    where = machine.run("python", "-c", "import caltech_lab; print(caltech_lab.__file__)")
    assert Path(where.stdout).is_relative_to(machine.root / "environment"), where.stderr

    checks = machine.lab("doctor", "--dataset", "photos")["result"]["checks"]
    (weights,) = (check["found"] for check in checks if check["name"] == "weights")
    assert weights.endswith(str(Path(where.stdout).parent / "embedding" / "weights"))

    extracted = machine.lab("extract", "--dataset", "photos")
    assert extracted["result"]["n_embeddings"] == 8
    (vectors,) = (machine.folder / "outputs").rglob("embeddings.npy")
    assert vectors.parent == Path(extracted["wrote"][0])

    found = machine.lab("retrieve", "query.png", "-k", 3, "--dataset", "photos")
    (query,) = found["result"]["queries"]
    assert query["answers"][0]["path"] == "photo 3.jpg"

    assert machine.elsewhere() == before
    assert {path.name for path in machine.folder.iterdir()} == {"outputs", "photos", "query.png"}


def test_without_its_weights_it_says_what_to_do(machine: Machine, photos: Path) -> None:
    (weights,) = (machine.root / "environment").rglob("resnet50-he2015.safetensors")
    aside = weights.rename(machine.root / "aside")
    try:
        done = machine.run("caltech-lab", "doctor", "--dataset", "photos")
    finally:
        aside.rename(weights)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("MISSING"))
    assert f"The weights {weights} are missing: " in line
    assert line.endswith("or install caltech-lab again.")
    assert "Traceback" not in done.stderr
