"""Runs the notebooks, and normalizes the committed ones.

`python -m tools.series walkthrough` runs all notebooks and writes the executed copies to
`outputs/`. `python -m tools.series notebooks` runs the committed notebooks in place and normalizes
them.
"""

import argparse
import os
import re
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from caltech_lab.errors import LabError
from caltech_lab.settings import settings
from caltech_lab.storage.files import write_atomically
from caltech_lab.storage.memory import watch

PHOTOS = "photos"  # tag of cells whose output shows photos
SOLUTION = "solution"  # tag of cells that solve an exercise
MAX_BYTES = 300_000
MAX_LINES = 20
# Time limit per cell; the longest one extracts 9,144 photos.
CELL_SECONDS = 3600
MACHINE_PATH = re.compile(r"(?:/home/|/Users/|/root/|/work/|/tmp/|[A-Z]:\\\\Users)")
WIDGET = "application/vnd.jupyter.widget-view+json"
BAR, UP = re.compile(r"\d+%\|"), "\x1b[A"
LEFTOVER = re.compile(r"^\s*(?:\[A)*\s*$")


def notebooks() -> list[Path]:
    """Return the numbered notebooks in order, followed by those without a number."""
    found = (settings().home / "notebooks").glob("*.ipynb")
    return sorted(found, key=lambda path: (not path.name[0].isdigit(), path.name))


def key_of(path: Path) -> str:
    """Return the key of a notebook in the checkpoints: its number, or its name without one."""
    return path.stem[:2] if path.stem[0].isdigit() else path.stem


def execute(path: Path, environment: Mapping[str, str] | None = None) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom in a new kernel.

    Parameters
    ----------
    path : Path
        The notebook; the kernel runs in its folder.
    environment : mapping, optional
        Additional environment variables for the kernel.

    Returns
    -------
    NotebookNode
        The notebook with its outputs.

    Raises
    ------
    LabError
        When a cell fails; the message has the cell and its error.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        coalesce_streams=True,  # otherwise each step of a progress bar is a separate output
    )
    try:
        client.execute(env={**os.environ, **(environment or {})})
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise LabError(f"{path.name} did not run to its end.\n{error}") from error
    return notebook


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove everything from an executed notebook that varies between runs, and all photos.

    Outputs of cells tagged `photos` are cleared, progress bars and widget states are removed,
    metadata are reduced to the kernel name and the tags of the cells, and cells are numbered from
    one. If the notebook would be too large, its figures are stored with a color palette.

    Parameters
    ----------
    notebook : NotebookNode
        The executed notebook; changed in place.

    Returns
    -------
    NotebookNode
        The same notebook.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    count = 0
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = [] if PHOTOS in tags(cell) else [*filter(_kept, map(_tidy, cell.outputs))]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    if len(nbformat.writes(notebook).encode()) > MAX_BYTES:
        for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _fewer_colors(output.data["image/png"])
    return notebook


def tags(cell: Any) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def _tidy(output: Any) -> Any:
    if output.output_type == "stream":
        # Removes progress bars, nested ones too, and the text that they overwrote.
        lines = [line.rpartition("\r")[2].replace(UP, "") for line in output.text.split("\n")]
        kept = [line for line in lines if (line.strip() or not line) and not BAR.search(line)]
        output.text = "\n".join(kept).lstrip("\n")
    elif "data" in output:
        output.metadata = nbformat.from_dict({})
        if "image/png" in output.data:  # a browser: only its static image works without a kernel
            output.data.pop(WIDGET, None)
    return output


def _fewer_colors(png: str) -> str:
    """Convert a base64 figure to a palette of 256 colors, which takes a third of the bytes."""
    with Image.open(BytesIO(b64decode(png))) as picture:
        if picture.mode == "P":
            return png
        smaller = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    buffer = BytesIO()
    smaller.save(buffer, "PNG", optimize=True)
    return b64encode(buffer.getvalue()).decode()


def _kept(output: Any) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout" and not LEFTOVER.match(output.text)
    return WIDGET not in output.get("data", {})


def faults(path: Path) -> list[str]:
    """Check whether a notebook can be committed.

    Parameters
    ----------
    path : Path
        A notebook.

    Returns
    -------
    list of str
        One sentence per problem; empty if there are none.
    """
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not all executed once, from top to bottom.")
    for number, cell in enumerate(code, start=1):
        kinds = {output.output_type for output in cell.outputs}
        if "error" in kinds:
            found.append(f"cell {number} stores an error.")
        if PHOTOS in tags(cell) and cell.outputs:
            found.append(f"cell {number} is tagged photos but still has output.")
        if len(cell.source.splitlines()) > MAX_LINES:
            found.append(f"cell {number} has more than {MAX_LINES} lines.")
        if re.search(r"^\s*[!%](?!matplotlib inline)", cell.source, re.MULTILINE):
            found.append(f"cell {number} uses a magic or a shell command.")
        if re.search(r"import \*|except:", cell.source):
            found.append(f"cell {number} has a star import or a bare except.")
    exercises = sum(SOLUTION in tags(c) or c.source.startswith("# Your turn") for c in code)
    if len(code) - exercises > len(notebook.cells) - len(code):
        found.append("it has more code cells than text cells.")
    if MACHINE_PATH.search(path.read_text(encoding="utf-8")):
        found.append("it contains an absolute path.")
    if path.stat().st_size > MAX_BYTES:
        found.append(f"it is larger than {MAX_BYTES // 1000} KB.")
    if nbformat.writes(normalize(notebook)) + "\n" != path.read_text(encoding="utf-8"):
        found.append("it was not written by `make notebooks`.")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks; see the module docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.series", description=__doc__)
    parser.add_argument("what", choices=["walkthrough", "notebooks"])
    parser.add_argument("only", nargs="*", help="prefixes of notebook names, such as 03")
    parser.add_argument("--limit", type=float, metavar="GB", help="fail above this peak memory")
    options = parser.parse_args(arguments)
    chosen = [
        path for path in notebooks()
        if not options.only or path.name.startswith(tuple(options.only))
    ]  # fmt: skip
    began = time.perf_counter()
    for number, path in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {path.stem} ...", end=" ", flush=True)
        started = time.perf_counter()
        try:
            with watch() as peak:
                notebook = execute(path)
        except LabError as error:
            print("failed")
            print(error, file=sys.stderr)
            return 1
        if options.limit and peak() > 1e9 * options.limit:
            print(f"used {peak() / 1e9:.1f} GB of memory, more than {options.limit:g} GB")
            return 1
        goal = path
        if options.what == "walkthrough":
            goal = settings().outputs / "notebooks" / path.name
        else:
            normalize(notebook)
        with write_atomically(goal) as temporary:
            temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        seconds = time.perf_counter() - started
        print(f"{seconds:.0f} s, {peak() / 1e9:.2f} GB peak memory", flush=True)
    print(f"All {len(chosen)} notebooks ran, in {time.perf_counter() - began:.0f} s.")
    if options.what == "walkthrough":
        print(f"Their outputs are in {settings().outputs}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
