"""Where things are and how the lab runs: one frozen object, read from the environment."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caltech_lab.errors import ArgumentError


@dataclass(frozen=True)
class Settings:
    """Everything that differs from machine to machine.

    Attributes
    ----------
    home : Path
        The checkout that the package lies in, else the working directory.
    data : Path
        Downloads (`CALTECH_LAB_DATA`, else `home/data`).
    outputs : Path
        All that the lab writes (`CALTECH_LAB_OUTPUTS`, else `home/outputs`).
    dataset : str or None
        `caltech101`, `report51`, `drawn` or a folder (`CALTECH_LAB_DATASET`); None looks.
    exclude : tuple of str
        Photos and folders to leave out of a folder of your own, patterns as in a `.gitignore`
        file (`CALTECH_LAB_EXCLUDE`, one per line).
    backbone : str
        A name from the registry of backbones (`CALTECH_LAB_BACKBONE`).
    precision : str
        `auto`, `bf16` or `f32` (`CALTECH_LAB_PRECISION`).
    seed : int
        The seed of every random choice (`CALTECH_LAB_SEED`).
    gallery : str
        What the demo and `retrieve` search, a name from `gallery` (`CALTECH_LAB_GALLERY`).
    threads : int
        Processor cores to use (`CALTECH_LAB_THREADS`, else those this process may run on).
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

    @property
    def photo_places(self) -> tuple[Path, ...]:
        """Where photographs are looked for, in this order."""
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
        data=Path(env.get("CALTECH_LAB_DATA") or home / "data").expanduser(),
        outputs=Path(env.get("CALTECH_LAB_OUTPUTS") or home / "outputs").expanduser(),
        dataset=env.get("CALTECH_LAB_DATASET") or None,
        exclude=tuple(filter(str.strip, (env.get("CALTECH_LAB_EXCLUDE") or "").split("\n"))),
        backbone=env.get("CALTECH_LAB_BACKBONE") or "resnet50",
        precision=env.get("CALTECH_LAB_PRECISION") or "auto",
        seed=_whole("CALTECH_LAB_SEED", 0, least=0),
        gallery=env.get("CALTECH_LAB_GALLERY") or "exact",
        threads=_whole("CALTECH_LAB_THREADS", cores, least=1),
    )


def _whole(name: str, default: int, least: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < least:
        raise ArgumentError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def _checkout() -> Path | None:
    """Return the checkout that this file lies in; None where a wheel was installed."""
    folder = Path(__file__).resolve().parents[1]
    project = folder / "pyproject.toml"
    # Some packages put theirs into site-packages, so the name counts.
    ours = project.is_file() and 'name = "caltech-lab"' in project.read_text(encoding="utf-8")
    return folder if ours else None
