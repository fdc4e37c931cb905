"""Records the values and tolerances for the checkpoints of the notebooks.

`python -m tools.recording 03 04` runs each notebook once unchanged, and once per seed on perturbed
embeddings (`processor_noise`), with the dataset and precision of the environment. The figures of
every run are saved, so that an interrupted recording can be continued. When all runs of a notebook
are finished, values and tolerances are derived from their figures and written to
`notebooks/checkpoints.json`. If both precisions were recorded, the tolerances include the
differences between them.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from caltech_lab.datasets import open_photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.engines import choose_runtime
from caltech_lab.embedding.processor_noise import PERTURB
from caltech_lab.errors import LabError
from caltech_lab.report.checkpoints import (
    FORMATS,
    RECORD,
    STRICT,
    Number,
    Recorded,
    read_record,
)
from caltech_lab.settings import settings
from caltech_lab.storage.files import read_json, write_atomically, write_json
from tools.series import execute, key_of, notebooks

ROOT = Path(__file__).parents[1]

SMALLEST = 0.002  # least tolerance of a rate, for other builds of the same libraries
TEST_SHARE = 0.2
SAFETY = 3  # tolerance divided by the largest observed deviation
WIDEST = 0.25  # of the range of a figure; a wider tolerance would hide errors

SEEDS = (1, 2, 3)  # `make test-other-cpu` uses the first


def code_of(path: Path) -> str:
    """Return a sha256 of a notebook's code and the package's, which its figures depend on."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    found = hashlib.sha256(text.encode())
    for module in sorted((ROOT / "caltech_lab").rglob("*.py")):
        found.update(module.read_bytes())
    return found.hexdigest()


def runs_of(folder: Path, notebook: str, code: str | None) -> dict[int, dict[str, Any]]:
    """Read the runs of a notebook in one precision.

    Parameters
    ----------
    folder : Path
        Folder of the runs of this dataset and precision, with one subfolder per seed.
    notebook : str
        As in `checkpoints.check`.
    code : str or None
        Hash of the code; runs of other code are left out. None means all runs.

    Returns
    -------
    dict
        By seed, 0 for the run without noise.
    """
    found = {}
    for path in folder.glob(f"*/{notebook}.json"):
        run = read_json(path)
        if "code" in run and code in (None, run["code"]):
            found[int(run["perturbed"])] = run
    return found


def recorded_from(runs: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]]) -> Recorded:
    """Compute values and tolerances from the runs in one precision, and in the other if present.

    Parameters
    ----------
    runs : dict
        By seed, 0 for the run without noise.
    other : dict
        The same in the other precision; may be empty.

    Returns
    -------
    dict
        Value and tolerance of each figure, by name.

    Raises
    ------
    LabError
        When the runs do not have the same figures.
    """
    value, n_photos = runs[0]["figures"], runs[0]["photos"]
    names = {frozenset(run["figures"]) for run in (*runs.values(), *other.values())}
    union, intersection = frozenset.union(*names), frozenset.intersection(*names)
    if union != intersection:
        raise LabError(
            f"The runs do not all have the figures {sorted(union - intersection)}: run them again."
        )
    recorded = {}
    for name in value:
        own = [run["figures"][name] for run in runs.values()]
        # Deviations in the other precision, relative to its value there, count as well.
        base = other[0]["figures"][name] if 0 in other else value[name]
        there = [value[name] + run["figures"][name] - base for run in other.values()]
        allowed = tolerance(value[name], [*own, *there, base], n_photos)
        rounded = value[name] if isinstance(value[name], int) else round(value[name], 6)
        recorded[name] = {"value": rounded, "tolerance": allowed}
    return recorded


def floor(value: Number, n_photos: int) -> Number:
    """Return the least tolerance of a figure: 0 for a count, one test photo for a rate.

    Examples
    --------
    >>> floor(336, 336), floor(0.95, 8677)
    (0, 0.002)
    """
    if isinstance(value, int):
        return 0
    return max(SMALLEST, _up(1 / (TEST_SHARE * max(n_photos, 1))))


def tolerance(value: Number, others: Iterable[Number], n_photos: int) -> Number:
    """Return the tolerance of a figure, from its values on perturbed embeddings.

    Parameters
    ----------
    value : number
        Measured value.
    others : iterable of numbers
        Values of the same figure on perturbed embeddings, or in another precision.
    n_photos : int
        Number of photos in the dataset.

    Returns
    -------
    number
        Three times the largest deviation, or `floor` if that is larger. The tolerance of a rate
        does not reach 1 if no run did, because a data leak would give 1.

    Examples
    --------
    >>> tolerance(0.9, [0.91, 0.9, 0.895], 8677), tolerance(13, [13, 12], 69)
    (0.03, 3)
    >>> tolerance(0.97, [0.98, 0.97], 8677), tolerance(0.97, [0.98, 1.0], 8677)
    (0.02, 0.09)
    """
    others = [*others]
    movement = max((abs(other - value) for other in others), default=0)
    moved, least = SAFETY * movement, floor(value, n_photos)
    if isinstance(value, int):
        return max(least, math.ceil(moved))
    highest = max([value, *others])
    if highest < 1 <= value + moved:
        moved = max(movement, (highest + 1) / 2 - value)
    return max(least, _up(moved))


def too_wide(record: Mapping[str, Mapping[str, Recorded]]) -> list[str]:
    """List the figures whose tolerance is a quarter of their range or more, so they hardly fail.

    The range is taken as 1 for figures between -1 and 1, and as the absolute value for others.
    """
    return [
        f"{kind} {notebook} {name}: {entry['value']} ± {entry['tolerance']}"
        for kind, notebooks in record.items()
        for notebook, recorded in notebooks.items()
        for name, entry in recorded.items()
        if entry["tolerance"] > 0 and entry["tolerance"] >= WIDEST * max(1.0, abs(entry["value"]))
    ]


def _up(number: float) -> float:
    """Round up to two significant digits."""
    if not number > 1e-12:
        return 0.0
    scale = 10.0 ** (1 - math.floor(math.log10(number)))
    return float(f"{math.ceil(round(number * scale, 6)) / scale:.2g}")


def write_record(path: Path, record: Mapping[str, Mapping[str, Recorded]]) -> None:
    """Write the recorded values in a fixed order, one figure per line."""
    kinds = [
        f"  {json.dumps(kind)}: {{\n"
        + ",\n".join(
            f"    {json.dumps(notebook)}: {{\n"
            + ",\n".join(
                f"      {json.dumps(name, ensure_ascii=False)}: {json.dumps(dict(entry))}"
                for name, entry in recorded.items()
            )
            + "\n    }"
            for notebook, recorded in sorted(notebooks.items())
        )
        + "\n  }"
        for kind, notebooks in sorted(record.items())
    ]
    with write_atomically(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(kinds) + "\n}\n", encoding="utf-8")


def merge(
    place: Path, runs: Path, kind: str, path: Path, seeds: Sequence[int], code: str | None
) -> list[str]:
    """Write the figures of a notebook to the record, in each precision with all runs.

    Parameters
    ----------
    place : Path
        File of the record.
    runs : Path
        Folder of the runs.
    kind : str
        Dataset and backbone.
    path : Path
        The notebook.
    seeds : sequence of int
        Seeds of the perturbation.
    code : str or None
        As in `runs_of`.

    Returns
    -------
    list of str
        The precisions that were recorded.
    """
    notebook = key_of(path)
    there = {p: runs_of(runs / kind / p, notebook, code) for p in FORMATS}
    whole = [p for p, found in there.items() if {0, *seeds} <= found.keys()]
    for precision in whole:
        others = [there[p] for p in whole if p != precision]
        record = read_record(place) if place.is_file() else {}
        recorded = recorded_from(there[precision], others[0] if others else {})
        record.setdefault(f"{kind}/{precision}", {})[notebook] = recorded
        write_record(place, record)
    return whole


def record(
    paths: Iterable[Path], runs: Path, *, seeds: Sequence[int] = SEEDS, any_code: bool = False
) -> None:
    """Run notebooks unchanged and on perturbed embeddings, and record their figures.

    Parameters
    ----------
    paths : iterable of Path
        The notebooks.
    runs : Path
        Folder for the figures of each run.
    seeds : sequence of int
        Seeds of the perturbation.
    any_code : bool
        Whether to use finished runs of other versions of the code.
    """
    network = backbone(None)
    kind, precision = f"{open_photos().name}/{network.name}", choose_runtime(network).precision
    place = settings().home / "notebooks" / "checkpoints.json"
    # The outer loop is over seeds, so that notebooks share cached models.
    for seed in (0, *seeds):
        for path in paths:
            notebook, code = key_of(path), code_of(path)
            wanted = None if any_code else code
            if seed not in runs_of(runs / kind / precision, notebook, wanted):
                began = time.perf_counter()
                folder = runs / kind / precision / str(seed)
                (folder / f"{notebook}.json").unlink(missing_ok=True)
                noise = str(seed) if seed else ""
                execute(path, {RECORD: str(folder.absolute()), PERTURB: noise, STRICT: ""})
                run = read_json(folder / f"{notebook}.json")
                write_json(folder / f"{notebook}.json", {**run, "code": code})
                seconds = time.perf_counter() - began
                print(f"{kind}/{precision} {notebook}, noise {seed}: {seconds:.0f} s", flush=True)
            if seed == seeds[-1]:
                merged = merge(place, runs, kind, path, seeds, wanted)
                print(f"{kind} {notebook}: recorded in {' and '.join(merged)}", flush=True)
    for line in too_wide(read_record(place)):
        print(f"The tolerance is too wide, replace this figure: {line}")


def main(arguments: list[str] | None = None) -> int:
    """Record the figures of notebooks; see the module docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.recording", description=__doc__)
    parser.add_argument("only", nargs="*", help="prefixes of notebook names, such as 03")
    parser.add_argument("--runs", type=Path, default=settings().home / "build" / "checkpoints",
                        help="folder for the figures of each run")  # fmt: skip
    parser.add_argument("--any-code", action="store_true",
                        help="use finished runs even if the code has changed since")  # fmt: skip
    options = parser.parse_args(arguments)
    chosen = [
        path for path in notebooks()
        if not options.only or path.name.startswith(tuple(options.only))
    ]  # fmt: skip
    try:
        record(chosen, options.runs, any_code=options.any_code)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
