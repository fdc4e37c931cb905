"""Records what the notebooks' checkpoints compare with: `python -m tools.recording 03 04`.

Each notebook runs once as it is, and once for each of a few seeds on perturbed embeddings (see
`perturbation`), on the dataset and in the precision that the environment asks for. The figures of
every run are kept, so that a recording that was stopped goes on where it was. As soon as all runs
of a notebook are there, their figures become values and tolerances in
`notebooks/checkpoints.json`. Where both precisions were recorded, each figure may also move by
what lies between them.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat

from caltech_lab.datasets import open_photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.engines import choose_runtime
from caltech_lab.embedding.perturbation import PERTURB
from caltech_lab.errors import LabError
from caltech_lab.report.checkpoints import (
    FORMATS,
    RECORD,
    STRICT,
    Recorded,
    read_record,
    tolerance,
    too_wide,
    write_record,
)
from caltech_lab.settings import settings
from caltech_lab.storage.files import read_json, write_json
from tools.series import execute, key_of, notebooks

SEEDS = (1, 2, 3)  # `make test-other-cpu` takes the first


def code_of(path: Path) -> str:
    """Return a sha256 of a notebook's code and the package's, which its figures depend on."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    found = hashlib.sha256(text.encode())
    for module in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(module.read_bytes())
    return found.hexdigest()


def runs_of(folder: Path, notebook: str, code: str | None) -> dict[int, dict[str, Any]]:
    """Read the runs of a notebook in one precision.

    Parameters
    ----------
    folder : Path
        Where the runs of this dataset and precision are, a folder for each seed.
    notebook : str
        As `checkpoint` has it.
    code : str or None
        Runs of other code are left out; None takes all.

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
    """Make values and tolerances of the runs in one precision, and of those in the other.

    Parameters
    ----------
    runs : dict
        By seed, 0 for the run without noise.
    other : dict
        The same in the other precision; it may be empty.

    Returns
    -------
    dict
        By figure, its value and tolerance.

    Raises
    ------
    LabError
        When the runs have figures of other names.
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
        # How far the noise moves it in the other precision counts as well, from its value there.
        base = other[0]["figures"][name] if 0 in other else value[name]
        there = [value[name] + run["figures"][name] - base for run in other.values()]
        allowed = tolerance(value[name], [*own, *there, base], n_photos)
        rounded = value[name] if isinstance(value[name], int) else round(value[name], 6)
        recorded[name] = {"value": rounded, "tolerance": allowed}
    return recorded


def merge(
    place: Path, runs: Path, kind: str, path: Path, seeds: Sequence[int], code: str | None
) -> list[str]:
    """Put a notebook into the record, in each precision that has all its runs.

    Parameters
    ----------
    place : Path
        The record.
    runs : Path
        Where the runs are.
    kind : str
        Dataset and backbone.
    path : Path
        The notebook.
    seeds : sequence of int
        Those of the noise.
    code : str or None
        As for `runs_of`.

    Returns
    -------
    list of str
        The precisions that it was recorded in.
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
    """Run notebooks as they are and on perturbed embeddings, and record their figures.

    Parameters
    ----------
    paths : iterable of Path
        The notebooks.
    runs : Path
        Where the figures of each run are kept.
    seeds : sequence of int
        Those of the noise.
    any_code : bool
        Whether to take over runs of other code.
    """
    network = backbone(None)
    kind, precision = f"{open_photos().name}/{network.name}", choose_runtime(network).precision
    place = settings().home / "notebooks" / "checkpoints.json"
    # By seed first: what one notebook fitted, the next ones take over.
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
        print(f"Too wide to fail, replace it: {line}")


def main(arguments: list[str] | None = None) -> int:
    """Record the figures of notebooks; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.recording", description=__doc__)
    parser.add_argument("only", nargs="*", help="the beginnings of names, such as 03")
    parser.add_argument("--runs", type=Path, default=settings().home / "build" / "checkpoints",
                        help="where the figures of each run are kept")  # fmt: skip
    parser.add_argument("--any-code", action="store_true",
                        help="take over runs although code has changed since")  # fmt: skip
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
