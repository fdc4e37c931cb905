"""Checks this machine: packages, dataset, weights, disk and memory, with advice for each.

Nothing is downloaded, extracted or written. A check that fails does not stop the others: PyTorch
and scikit-learn, which may not fit this machine, are imported in the checks that need them.
"""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from caltech_lab.cli.common import Result
from caltech_lab.datasets import caltech101, drawn, folder
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.engines import choose_runtime, cpu_has_bf16
from caltech_lab.embedding.timing import forward_milliseconds
from caltech_lab.errors import LabError
from caltech_lab.settings import settings

GIB = 2**30
MODELS_BYTES = 200_000_000  # models, figures and tables of Caltech-101, rounded up


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    name : str
        What was checked.
    status : {"found", "note", "missing"}
        Present; not required but worth knowing; or required and missing.
    found : str
        What was found.
    advice : str
        What to do; empty if nothing needs to be done.
    """

    name: str
    status: Literal["found", "note", "missing"]
    found: str
    advice: str = ""

    def __str__(self) -> str:
        """Return one line, and a second one if there is advice."""
        mark = {"found": "ok", "note": "note", "missing": "MISSING"}[self.status]
        line = f"{mark:<8} {self.name:<11} {self.found}"
        return f"{line}\n{'':<8} {'':<11} -> {self.advice}" if self.advice else line

    def as_dict(self) -> dict[str, str]:
        """Return the four attributes by name."""
        return asdict(self)


def examine() -> list[Check]:
    """Check everything that the lab needs.

    Returns
    -------
    list of Check
        The results, with those about the system first.
    """
    looks: dict[str, Callable[[], Check]] = {
        "Python": _python,
        "packages": _packages,
        "processor": _processor,
        "graphics": _graphics,
        "engine": _engine,
        "weights": _weights,
        "speed": _speed,
        "dataset": _dataset,
        "embeddings": _embeddings,
        "disk": _disk,
        "memory": _memory,
        "demo": _voila,
    }
    return [_safely(name, look) for name, look in looks.items()]


def _safely(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (LabError, ImportError, OSError, RuntimeError) as error:
        advice = "" if isinstance(error, LabError) else "Mend this first; see `packages` above."
        return Check(name, "missing", str(error).splitlines()[0], advice)


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable}), {platform.platform(terse=True)}"
    return Check("Python", "found", found)


def _packages() -> Check:
    try:
        lines = metadata.requires("caltech-lab") or []
    except metadata.PackageNotFoundError:
        return Check("packages", "note", "caltech-lab is not installed",
                     "Install it with `pip install -e .` in the checkout.")  # fmt: skip
    absent, old, versions = [], [], {}
    for needed in map(Requirement, lines):
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            absent.append(str(needed))
            continue
        versions[needed.name] = version
        if not needed.specifier.contains(version, prereleases=True):
            old.append(f"{needed.name} {version} (needs {needed.specifier})")
    told = ("torch", "openvino", "scikit-learn", "faiss-cpu", "numpy")
    found = ", ".join(f"{name} {versions[name]}" for name in told if name in versions)
    found = f"{len(versions)} there: {found}"
    if absent or old:
        wrong = ", ".join([*absent, *old])
        advice = "Run `pip install -e .` in the checkout, or install the wheel again."
        return Check("packages", "missing", f"{found}; not there or too old: {wrong}", advice)
    return Check("packages", "found", found)


def _processor() -> Check:
    import torch

    flags = {
        "AVX-512": torch.cpu._is_avx512_supported(),
        "AVX-512 bfloat16": torch.cpu._is_avx512_bf16_supported(),
        "AMX": torch.cpu._is_amx_tile_supported(),
    }
    has = ", ".join(name for name, there in flags.items() if there) or "none of AVX-512 and AMX"
    used = "bfloat16 products are done in hardware" if cpu_has_bf16() else "products in float32"
    cores = f"{settings().threads} cores to use"
    return Check("processor", "found", f"{platform.machine()}, {cores}; {has}; {used}")


def _graphics() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("graphics", "found", f"{torch.cuda.get_device_name(0)}, used")
    if torch.backends.mps.is_available():
        return Check("graphics", "found", "Apple GPU, used")
    return Check("graphics", "note", "no graphics card that PyTorch can use; none is needed")


def _engine() -> Check:
    chosen = backbone()
    runtime = choose_runtime(chosen)
    slow = runtime.engine == "torch" and platform.machine().lower() in ("x86_64", "amd64")
    advice = "Install `openvino`: it runs networks about twice as fast here." if slow else ""
    return Check(
        "engine", "note" if slow else "found", f"{chosen.name} is run by {runtime}", advice
    )


def _weights() -> Check:
    chosen = backbone()
    if chosen.classical:
        return Check("weights", "found", f"{chosen.name} needs none")
    stored = settings().data / "weights"
    if chosen.weights_from == "torchvision" and not any(stored.glob("*.pth")):
        # Computing their sha256 would download them.
        return Check("weights", "note", f"those of {chosen.name} are not here yet",
                     "They are downloaded when photos are first extracted.")  # fmt: skip
    if chosen.weights_from == "hub":
        return Check("weights", "note", f"those of {chosen.name} are kept by the Hugging Face hub",
                     "They are downloaded when they are first needed.")  # fmt: skip
    found = f"{chosen.title}, sha256 {chosen.weights()[:12]}, as expected"
    return Check(
        "weights", "found", f"{found}, in {chosen.file().parent}" if chosen.file else found
    )


def _speed() -> Check:
    if _safely("weights", _weights).status != "found":
        return Check("speed", "note", "not measured before the weights are here")
    rate = 1000 / forward_milliseconds(backbone())
    minutes = _n_photos() / rate / 60
    found = f"{rate:,.0f} photos per second, so {minutes:.1f} minutes for the dataset's photos"
    return Check("speed", "found", found)


def _dataset() -> Check:
    wanted = settings().dataset or "caltech101"
    if wanted == "drawn":
        return Check("dataset", "found", "the drawn sample, which comes with the package")
    if wanted not in {*caltech101.SUBSETS, "caltech101"}:
        return Check("dataset", "found", folder.scan(Path(wanted), settings().exclude).origin)
    root = caltech101.find(settings().photo_places)
    if root:
        return Check("dataset", "found", f"Caltech-101 in {root} (`caltech-lab verify` checks it)")
    places = ", ".join(map(str, settings().photo_places))
    return Check("dataset", "missing", f"Caltech-101 is in none of {places}",
                 "Run `caltech-lab download`, or go on with `--dataset drawn`.")  # fmt: skip


def _embeddings() -> Check:
    kept = sorted(settings().outputs.glob("*/*/features/identity.json"))
    if not kept:
        return Check("embeddings", "note", f"none yet in {settings().outputs}",
                     "`caltech-lab extract` makes them.")  # fmt: skip
    names = [f"{path.parents[2].name}/{path.parents[1].name}" for path in kept]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return Check("embeddings", "found", f"{', '.join(names[:6])}{more} in {settings().outputs}")


def _n_photos() -> int:
    wanted = settings().dataset or "caltech101"
    if wanted == "drawn":
        return len(drawn.CATEGORIES) * drawn.PHOTOS_PER_CATEGORY
    subset = "all" if wanted == "caltech101" else wanted
    if subset in caltech101.SUBSETS:
        return len(caltech101.select(subset))
    return len(folder.scan(Path(wanted), settings().exclude))


def _disk() -> Check:
    place = settings().outputs.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    # The matrix, its journal during extraction, and the index.
    needed = 3 * 4 * _n_photos() * backbone().width + MODELS_BYTES
    found = f"{free / GIB:.1f} GiB free in {settings().outputs}, about {needed / GIB:.1f} needed"
    if free < needed:
        return Check("disk", "missing", found, "Free some, or name another disk with --outputs.")
    return Check("disk", "found", found)


def _memory() -> Check:
    from caltech_lab.fast.linkage import linkage_bytes  # imports scikit-learn

    n, free = _n_photos(), psutil.virtual_memory().available
    # Embeddings in float32 and in float64, and 2 GiB for the networks and libraries.
    steps = {
        "extracting": 2 * GIB,
        "classifying": 2 * GIB + 3 * 4 * n * backbone().width,
        "hierarchical clustering": GIB + linkage_bytes(n) + 3 * 4 * n * backbone().width,
    }
    told = ", ".join(f"{name} {needed / GIB:.1f}" for name, needed in steps.items())
    found = f"{free / GIB:.1f} GiB free; for {n:,} photos, about: {told}"
    short = [name for name, needed in steps.items() if needed > free]
    if short:
        return Check("memory", "note", found,
                     f"{' and '.join(short)} may not fit: close other programs, or take a part "
                     "of the photos.")  # fmt: skip
    return Check("memory", "found", found)


def _voila() -> Check:
    try:
        return Check("demo", "found", f"Voilà {metadata.version('voila')}")
    except metadata.PackageNotFoundError:
        return Check("demo", "note", "Voilà is not installed",
                     "`pip install voila` for `caltech-lab demo`.")  # fmt: skip


def doctor() -> Result:
    """Check this machine: packages, dataset, weights, disk and memory."""
    checks = examine()
    bad = [check for check in checks if check.status == "missing"]
    words = f"{len(bad)} things are missing" if len(bad) != 1 else "One thing is missing"
    lines = [line for check in checks for line in str(check).splitlines()]
    end = "Nothing is missing." if not bad else f"{words}, listed above."
    data = {"checks": [check.as_dict() for check in checks]}
    return Result([*lines, end], data, ok=not bad)
