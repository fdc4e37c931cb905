"""The site's pages, as they are laid out before Sphinx reads them."""

import json
from pathlib import Path

from tools.series import notebooks
from tools.site import HIDDEN, lay_out


def test_every_notebook_is_a_page_and_its_solutions_are_folded(tmp_path: Path) -> None:
    lay_out(tmp_path / "source")
    pages = tmp_path / "source" / "notebooks"
    assert {path.name for path in pages.glob("*.ipynb")} == {path.name for path in notebooks()}
    folded = 0
    for path in pages.glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            hidden = bool(cell["metadata"].get("jupyter", {}).get("source_hidden"))
            assert hidden == (set(HIDDEN) <= set(cell["metadata"].get("tags", [])))
            folded += hidden
    assert folded >= 30


def test_every_module_is_in_the_reference(tmp_path: Path) -> None:
    lay_out(tmp_path / "source")
    text = "".join(path.read_text() for path in (tmp_path / "source" / "api").glob("*.md"))
    for name in (
        "caltech_lab.lab",
        "caltech_lab.retrieval.index",
        "caltech_lab.studies.duplicates",
    ):
        assert f".. automodule:: {name}\n" in text
