"""Compares the figures of a notebook with recorded values.

`notebooks/checkpoints.json` has the value and tolerance of each figure, per dataset, backbone,
precision and notebook. `tools.recording` writes it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from caltech_lab.embedding.processor_noise import PERTURB, perturbation
from caltech_lab.errors import LabError
from caltech_lab.settings import settings
from caltech_lab.storage.files import read_json, write_json

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

STRICT = "CALTECH_LAB_CHECKPOINTS"  # `strict` in tests: a figure that differs is an error
RECORD = "CALTECH_LAB_RECORD"  # a folder: figures are written there instead of compared

NAMED = 3  # figures that a summary names
FORMATS = {"bf16": "bfloat16", "f32": "float32"}
ROUNDING = 1e-6  # of the recorded values

Number = int | float
# Value and tolerance of each figure of a notebook, by name.
Recorded = Mapping[str, Mapping[str, Number]]


def check(lab: "Lab", notebook: str, figures: Mapping[str, Any]) -> None:
    """Compare figures with the recorded values, and print a summary.

    By default, a summary of one line is printed, and differences are no error. With
    `CALTECH_LAB_CHECKPOINTS=strict`, all figures are printed, and a difference is an error. With
    `CALTECH_LAB_RECORD`, the figures are written to that folder instead.

    Parameters
    ----------
    lab : Lab
        Lab that the figures were measured with.
    notebook : str
        Number of the notebook, such as "03", or its name if it has no number.
    figures : mapping
        Measured figures, by name.

    Raises
    ------
    AssertionError
        In tests, when a figure is outside its tolerance, or is missing in the notebook or in the
        record.
    """
    measured = {name: _number(value) for name, value in figures.items()}
    kind, precision = f"{lab.photos.name}/{lab.backbone.name}", lab.runtime.precision
    if folder := settings().record:
        run = {
            "kind": kind,
            "precision": precision,
            "perturbed": perturbation() or 0,
            "photos": len(lab.photos),
            "figures": measured,
        }
        write_json(folder / f"{notebook}.json", run)
        print(f"{_count(len(measured))} written.")
        return
    strict = settings().strict
    path = settings().home / "notebooks" / "checkpoints.json"
    try:
        record = read_record(path)
    except LabError as error:
        if strict:
            raise AssertionError(str(error)) from error
        print(f"{_count(len(measured))}; notebooks/{path.name} is missing or damaged.")
        return
    found = find(record, kind, precision, notebook)
    if found is None:
        assert not strict, f"Nothing is recorded for notebook {notebook} on {kind}."
        print(f"{_count(len(measured))}; there are no recorded values for these photos.")
        return
    against, recorded = found
    wrong = differing(measured, recorded)
    if strict:
        print(table(measured, recorded).to_string())
    line = summary(measured, recorded, precision, against)
    assert not (strict and wrong), f"{line}\n{table(measured, recorded).loc[wrong].to_string()}"
    print(line)


def read_record(path: Path) -> dict[str, dict[str, Recorded]]:
    """Read the recorded values.

    Parameters
    ----------
    path : Path
        The file `notebooks/checkpoints.json`.

    Returns
    -------
    dict
        By dataset, backbone and precision, such as "drawn/resnet50/bf16", then by notebook.

    Raises
    ------
    LabError
        When the file is missing or damaged.
    """
    try:
        record: dict[str, dict[str, Recorded]] = read_json(path)
        entries = [
            (entry["value"], entry["tolerance"])
            for notebooks in record.values()
            for recorded in notebooks.values()
            for entry in recorded.values()
        ]
        good = all(
            isinstance(n, int | float) and math.isfinite(n) for pair in entries for n in pair
        )
    except (OSError, LabError, AttributeError, KeyError, TypeError):
        good = False
    if not good:
        raise LabError(f"{path.name} is missing or damaged: restore it from the repository.")
    return record


def find(
    record: Mapping[str, Mapping[str, Recorded]], kind: str, precision: str, notebook: str
) -> tuple[str, Recorded] | None:
    """Return the recorded figures of this precision, or else of another, and which it is."""
    for other in (precision, *(p for p in FORMATS if p != precision)):
        recorded = record.get(f"{kind}/{other}", {}).get(notebook)
        if recorded is not None:
            return other, recorded
    return None


def differing(measured: Mapping[str, Number], recorded: Recorded) -> list[str]:
    """Return the names of the figures that differ from the record, including NaN and missing."""
    return [
        name
        for name in dict.fromkeys([*measured, *recorded])
        if not _agrees(measured.get(name), recorded.get(name))
    ]


def summary(
    measured: Mapping[str, Number], recorded: Recorded, precision: str, against: str
) -> str:
    """Summarize in one line how many figures are as recorded, which differ, and the likely reason.

    Parameters
    ----------
    measured : mapping
        Figures of this run, by name.
    recorded : mapping
        Value and tolerance of each, by name.
    precision, against : {"bf16", "f32"}
        Precision of this run and of the record.

    Returns
    -------
    str
        One line.
    """
    wrong = differing(measured, recorded)
    here, there = FORMATS.get(precision, precision), FORMATS.get(against, against)
    if not wrong:
        other = f", although this machine computes in {here} and the record is in {there}"
        return f"{_count(len(measured))} as recorded{other * (precision != against)}."
    named = [_difference(name, measured.get(name), recorded.get(name)) for name in wrong[:NAMED]]
    if len(wrong) > NAMED:
        named.append(f"and {len(wrong) - NAMED} more")
    total = len({*measured, *recorded})
    verb = "differs" if len(wrong) == 1 else "differ"
    reason = _reason(measured, recorded, here, there)
    return f"{len(wrong)} of {_count(total)} {verb} from the record: {', '.join(named)}; {reason}."


def table(measured: Mapping[str, Number], recorded: Recorded) -> pd.DataFrame:
    """Return a table of measured and recorded values, tolerances, and whether they agree."""
    wrong = set(differing(measured, recorded))
    rows = {
        name: {
            "measured": measured.get(name, math.nan),
            "recorded": recorded.get(name, {}).get("value", math.nan),
            "tolerance": recorded.get(name, {}).get("tolerance", math.nan),
            "as recorded": name not in wrong,
        }
        for name in dict.fromkeys([*measured, *recorded])
    }
    return pd.DataFrame(rows).T


def _number(value: Any) -> Number:
    """Convert a figure to int or float; NaN if it is not a number."""
    try:
        plain = getattr(value, "item", lambda: value)()
        return int(plain) if isinstance(plain, bool | int) else float(plain)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _agrees(measured: Number | None, recorded: Mapping[str, Number] | None) -> bool:
    if measured is None or recorded is None:
        return False
    return abs(measured - recorded["value"]) <= recorded["tolerance"] + ROUNDING


def _count(number: int) -> str:
    return f"{number} figure" + "s" * (number != 1)


def _difference(name: str, measured: Number | None, recorded: Mapping[str, Number] | None) -> str:
    if measured is None:
        return f"{name} (recorded, but not measured here)"
    if recorded is None:
        return f"{name} (measured, but not recorded)"
    shown = _distinct(measured, recorded["value"])
    return f"{name} {shown[0]} (recorded {shown[1]})"


def _distinct(*values: Number) -> Sequence[str]:
    """Format numbers with three decimals, or with more if they would look the same."""
    if all(isinstance(value, int) for value in values):
        return [f"{value:,}" for value in values]
    for decimals in range(3, 7):
        shown = [f"{value:,.{decimals}f}" for value in values]
        if len({*shown}) == len(shown):
            break
    return shown


def _reason(measured: Mapping[str, Number], recorded: Recorded, here: str, there: str) -> str:
    if measured.keys() != recorded.keys():
        return "the notebook and the record are from different versions"
    if perturbation() is not None:
        return f"the embeddings are perturbed, because {PERTURB} is set"
    if settings().seed:
        return f"the likely reason is the seed, {settings().seed} instead of 0"
    if here != there:
        return f"the likely reason is that this machine computes in {here}, the record in {there}"
    return (
        "the likely reason is a changed cell, another processor or other versions of the packages"
    )
