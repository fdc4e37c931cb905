"""Writes the pictures of photos that notebooks show, from the offline sample.

`python -m tools.pictures` runs the notebooks that have cells tagged `picture:NAME` on the drawn
sample, and saves the figure of each of these cells as `notebooks/images/NAME.webp`. Their outputs
are never stored in the notebook, because on Caltech-101 they show photographs.
"""

import io
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
from PIL import Image

from caltech_lab.settings import settings
from tools.series import execute, notebooks, tags

PICTURE = "picture:"


def pictures(notebook: nbformat.NotebookNode) -> dict[str, Image.Image]:
    """Return the last figure of each cell of an executed notebook that has a `picture:` tag."""
    found = {}
    for cell in notebook.cells:
        for name in (tag.removeprefix(PICTURE) for tag in tags(cell) if tag.startswith(PICTURE)):
            for output in cell.outputs:
                if png := output.get("data", {}).get("image/png"):
                    found[name] = Image.open(io.BytesIO(b64decode(png))).convert("RGB")
    return found


def write(path: Path, folder: Path) -> list[Path]:
    """Run a notebook on the drawn sample, and write its pictures as WebP files."""
    written = []
    for name, picture in pictures(execute(path, {"CALTECH_LAB_DATASET": "drawn"})).items():
        written.append(folder / f"{name}.webp")
        picture.save(written[-1], quality=85, method=6)
    return written


def main() -> None:
    """Write the pictures of the notebooks with these prefixes, or of all that have some."""
    prefixes = tuple(sys.argv[1:])
    for path in notebooks():
        chosen = not prefixes or path.name.startswith(prefixes)
        if chosen and f'"{PICTURE}' in path.read_text(encoding="utf-8"):
            print(*write(path, settings().home / "notebooks" / "images"), sep="\n")


if __name__ == "__main__":
    main()
