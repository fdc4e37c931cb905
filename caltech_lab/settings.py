"""Settings from environment variables, as one frozen object."""

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caltech_lab.errors import ArgumentError


@dataclass(frozen=True)
class Settings:
    """Settings that may differ between machines.

    Attributes
    ----------
    home : Path
        The checkout that contains the package, otherwise the working directory.
    data : Path
        Folder for downloads (`CALTECH_LAB_DATA`, by default `home/data`).
    outputs : Path
        Folder for everything that the lab writes (`CALTECH_LAB_OUTPUTS`, by default
        `home/outputs`).
    dataset : str or None
        `caltech101`, `report51`, `drawn` or a folder (`CALTECH_LAB_DATASET`); None means
        Caltech-101 or, if that is not available, the drawn sample.
    exclude : tuple of str
        Photos and folders to leave out of a folder of your own, patterns as in a `.gitignore`
        file (`CALTECH_LAB_EXCLUDE`, one per line).
    backbone : str
        Name in the registry of backbones (`CALTECH_LAB_BACKBONE`).
    precision : str
        `auto`, `bf16` or `f32` (`CALTECH_LAB_PRECISION`).
    seed : int
        Seed of all random choices (`CALTECH_LAB_SEED`).
    gallery : str
        The vector store that the demo and `retrieve` search, a name as in
        `retrieval.stores.open_store` (`CALTECH_LAB_GALLERY`).
    threads : int
        Number of threads (`CALTECH_LAB_THREADS`, by default the cores available to this process).
    perturb : int or None
        Seed of noise like that of another processor (`CALTECH_LAB_PERTURB`); None for no noise.
    record : Path or None
        Folder that the notebooks' values are written to instead of compared
        (`CALTECH_LAB_RECORD`).
    strict : bool
        Whether a notebook's value that differs from the record is an error
        (`CALTECH_LAB_CHECKPOINTS`, `strict` in tests).
    """

    home: Path
    data: Path
    outputs: Path
    dataset: str | None
    exclude: tuple[str, ...]
    backbone: str
    precision: str
    seed: int
    gallery: str
    threads: int
    perturb: int | None
    record: Path | None
    strict: bool

    @property
    def photo_places(self) -> tuple[Path, ...]:
        """Folders that are searched for datasets, in this order."""
        places = (self.data, self.home / "data", self.home.parent / "shared")
        return tuple(dict.fromkeys(places))


@cache
def settings() -> Settings:
    """Read the settings from the environment, once."""
    env = os.environ
    home = _checkout() or Path.cwd()
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        cores = os.cpu_count() or 1
    return Settings(
        home=home,
        data=from_home(env.get("CALTECH_LAB_DATA") or home / "data"),
        outputs=from_home(env.get("CALTECH_LAB_OUTPUTS") or home / "outputs"),
        dataset=env.get("CALTECH_LAB_DATASET") or None,
        exclude=tuple(filter(str.strip, (env.get("CALTECH_LAB_EXCLUDE") or "").split("\n"))),
        backbone=env.get("CALTECH_LAB_BACKBONE") or "resnet50",
        precision=env.get("CALTECH_LAB_PRECISION") or "auto",
        seed=_whole("CALTECH_LAB_SEED", 0, least=0),
        gallery=env.get("CALTECH_LAB_GALLERY") or "exact",
        threads=_whole("CALTECH_LAB_THREADS", cores, least=1),
        perturb=_whole("CALTECH_LAB_PERTURB", 0, least=0)
        if env.get("CALTECH_LAB_PERTURB")
        else None,
        record=from_home(folder) if (folder := env.get("CALTECH_LAB_RECORD")) else None,
        strict=env.get("CALTECH_LAB_CHECKPOINTS") == "strict",
    )


def from_home(path: str | Path) -> Path:
    """Return a path with the folder that its ~ stands for, if it stands for one."""
    with suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def from_folder(path: Path, folder: Path) -> Path:
    """Return a path relative to a folder that it is below; the root of a disk is no such folder."""
    below = path.is_relative_to(folder) and folder != Path(folder.anchor)
    return path.relative_to(folder) if below else path


def _whole(name: str, default: int, least: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, not {value!r}.")
    return int(value)


def _checkout() -> Path | None:
    """Return the checkout that contains this file; None for an installed wheel."""
    folder = Path(__file__).resolve().parents[1]
    project = folder / "pyproject.toml"
    # Some packages install a pyproject.toml into site-packages, so the name is checked.
    ours = project.is_file() and 'name = "caltech-lab"' in project.read_text(encoding="utf-8")
    return folder if ours else None
