"""Checks that two checkouts give the same results: embeddings, clusters, predictions and scores.

    python -m tools.same_results ../before .

runs the command line of both checkouts on the same photos, by default the offline sample, and
compares the output: files of embeddings bit for bit, clusters and predictions exactly, and all
other figures to the last digit. The exit status is 1 if anything differs.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STEPS: dict[str, tuple[str, ...]] = {
    "embeddings": ("extract",),
    "K-Means": ("cluster", "kmeans", "-k", "20"),
    "Ward": ("cluster", "hierarchical", "-k", "50"),
    "average linkage": ("cluster", "hierarchical", "-k", "50", "--linkage", "average",
                        "--metric", "cosine"),
    "SVM": ("train", "svm"),
    "random forest": ("train", "random-forest"),
    "scores": ("evaluate",),
}  # fmt: skip
# Paths and times, which may differ.
LEFT_OUT = {"wrote", "seconds", "engine", "why", "root"}


def results(checkout: Path, dataset: str, outputs: Path) -> dict[str, Any]:
    """Run the steps in a checkout and return their results."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "CALTECH_LAB_OUTPUTS": str(outputs)}
    found: dict[str, Any] = {}

    def run(*words: str) -> Any:
        command = [sys.executable, "-m", "caltech_lab", *words, "--dataset", dataset, "--json"]
        done = subprocess.run(
            command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return json.loads(done.stdout)

    for step, words in STEPS.items():
        print(f"{checkout}: {step}", file=sys.stderr)
        told = run(*words)
        found |= {f"{step}: {name}": value for name, value in figures(told["result"])}
        for path in map(Path, told["wrote"]):
            if path.suffix in (".npy", ".csv"):
                found[f"{step}: {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for matrix in outputs.glob("*/*/features/embeddings.npy"):
        found["embeddings: bytes"] = hashlib.sha256(matrix.read_bytes()).hexdigest()
    photos = sorted((checkout / "data" / "drawn").rglob("*.jpg"))[::60]
    if photos:
        for command in ("retrieve", "predict"):
            told = run(command, *map(str, photos))
            found |= {f"{command}: {name}": value for name, value in figures(told["result"])}
    return found


def figures(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each plain value in the output of a command."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in LEFT_OUT:
                yield from figures(part, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from figures(part, f"{name}[{i}]")
    elif not (isinstance(value, str) and value.startswith(os.sep)):  # paths of the checkout
        yield name, value


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one line per figure that differs or is missing in one of the checkouts."""
    missing = object()
    return [
        f"{name}: {before.get(name, 'missing')} before, {after.get(name, 'missing')} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name, missing) != after.get(name, missing)
    ]


def main() -> None:
    """Compare two checkouts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--dataset", default="drawn")
    given = parser.parse_args()
    found = []
    for checkout in (given.before.resolve(), given.after.resolve()):
        with tempfile.TemporaryDirectory() as outputs:
            found.append(results(checkout, given.dataset, Path(outputs)))
    lines = differences(*found)
    print("\n".join(lines) or f"All {len(found[0])} results are the same.")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
