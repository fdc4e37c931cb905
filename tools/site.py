"""Builds the site: the notebooks with their committed outputs, and the API reference.

    python -m tools.site [FOLDER]

Nothing is executed. The pages are laid out in `build/site-source` as they are in the repository,
so that the links between them hold; a warning of Sphinx is an error.
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "build" / "site-source"
# Pages beside the notebooks, and files that they link to.
PAGES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE",
    "benchmarks/README.md", "tests/README.md", "data/README.md",
    "caltech_lab/embedding/weights/README.md", "caltech_lab/cli/output.schema.json",
)  # fmt: skip
HIDDEN = ["hide-input", "hide-output"]  # MyST-NB's tags for what a click shows


def lay_out(source: Path) -> None:
    """Copy everything that becomes a page, in the places that it has in the repository."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source / "docs")
    for name in ("conf.py", "index.md", "_static"):
        (source / "docs" / name).rename(source / name)
    shutil.copytree(ROOT / "notebooks", source / "notebooks")
    (source / "notebooks" / "checkpoints.json").unlink()
    for name in PAGES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for path in (source / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["metadata"].get("jupyter", {}).get("source_hidden"):
                cell["metadata"].setdefault("tags", []).extend(HIDDEN)
        path.write_text(json.dumps(notebook), encoding="utf-8")
    _reference(source / "api")


def _reference(folder: Path) -> None:
    """Write one page per folder of the package, its modules in alphabetical order."""
    folder.mkdir()
    package = ROOT / "caltech_lab"
    rooms = sorted(path.parent for path in package.glob("*/__init__.py"))
    for room in [package, *rooms]:
        modules = [room / "__init__.py", *sorted(room.glob("[a-z]*.py"))]
        modules += sorted(room.glob("*/[a-z]*.py")) if room != package else []
        names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
        names[0] = names[0].removesuffix(".__init__")
        blocks = [f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n" for name in names]
        heads = [f"## {name}\n" for name in names[1:]]
        body = "\n".join(
            f"{head}\n{block}" for head, block in zip(["", *heads], blocks, strict=True)
        )
        (folder / f"{room.name}.md").write_text(f"# {room.name}\n{body}", encoding="utf-8")
    pages = "\n".join(room.name for room in [package, *rooms])
    (folder / "index.md").write_text(
        f"# API reference\n\n```{{toctree}}\n:maxdepth: 2\n\n{pages}\n```\n", encoding="utf-8"
    )


def main() -> int:
    """Build the site and return Sphinx's exit code."""
    from sphinx.cmd.build import build_main  # of the extra `site`

    target = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "site"
    lay_out(SOURCE)
    options = ["-E", "-W", "--keep-going", "-q", "-b", "html"]
    return int(build_main([*options, str(SOURCE), str(target)]))


if __name__ == "__main__":
    sys.exit(main())
