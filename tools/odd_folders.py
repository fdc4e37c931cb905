"""Run every command on unusual folders of photos, and print the results as a table.

    python -m tools.odd_folders FOLDER

Each sub-folder of FOLDER is used as a dataset with its own outputs, and each command runs on it
with raw pixels as the backbone. The exit code is 1 if any command ends with a traceback, or with
neither a result nor an error sentence.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from caltech_lab.datasets import folder
from caltech_lab.errors import LabError

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("extract",),
    ("verify",),
    ("retrieve", "PHOTO"),
    ("cluster",),
    ("cluster", "hierarchical"),
    ("train",),
    ("evaluate",),
    ("predict", "PHOTO"),
    ("duplicates",),
    ("index",),
    ("export",),
)
WIDTH = 110


def run(words: Sequence[str], photos: Path, outputs: Path) -> tuple[int, str]:
    """Run one command; return its exit code, and the first line of its output or its last error."""
    command = [sys.executable, "-m", "caltech_lab", *words]
    about = {
        "CALTECH_LAB_DATASET": str(photos),
        "CALTECH_LAB_BACKBONE": "pixels",
        "CALTECH_LAB_OUTPUTS": str(outputs),
        "CALTECH_LAB_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=os.environ | about, capture_output=True, check=False)
    said = (done.stdout if done.returncode == 0 else done.stderr).decode(errors="backslashreplace")
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip()]
    if "Traceback" in done.stderr.decode(errors="replace"):
        return -1, f"TRACEBACK: {lines[-1] if lines else ''}"
    return done.returncode, (lines or ["nothing"])[0 if done.returncode == 0 else -1]


def table(case: Path) -> Iterator[tuple[str, int, str]]:
    """Run all commands on one folder; yield each command, its exit code and a line of output."""
    with tempfile.TemporaryDirectory() as outputs:
        try:
            photo = str(folder.scan(case).file(0))
        except LabError:
            photo = str(case)
        for command in COMMANDS:
            words = [word.replace("PHOTO", photo) for word in command]
            yield " ".join(command), *run(words, case, Path(outputs))


def main() -> int:
    """Print the table; return 1 if a run ended with neither a result nor an error sentence."""
    parser = argparse.ArgumentParser(description="What each command says of odd folders.")
    parser.add_argument("folder", type=Path)
    cases = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_dir())
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, rows in zip(cases, pool.map(lambda case: list(table(case)), cases), strict=True):
            print(f"\n{case.name}")
            for command, code, said in rows:
                print(f"  {command:<22} {code:>2}  {said[:WIDTH]}")
                bad += code not in (0, 1)
    print(f"\n{bad} of {len(cases) * len(COMMANDS)} runs ended in neither a result nor a sentence.")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
