"""The prose of the notebooks: each kind of fault is found, and good prose is left alone."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import prose


def faults(folder: Path, text: str, printed: str = "accuracy 0.8519 of 1,823 photos") -> list[str]:
    output = new_output("stream", text=printed)
    cells = [new_markdown_cell(text), new_code_cell("k = 20", outputs=[output])]
    nbformat.write(new_notebook(cells=cells), folder / "a.ipynb")
    return prose.faults(folder / "a.ipynb")


@pytest.mark.parametrize(
    "text",
    [
        "The accuracy is 0.852, that is 85.2 %, on 1,823 photos in 20 clusters.",
        "Three of 12 rows, in notebook 06, see [the paper](https://example.org/1234).",
        "With $p = 0.95$ and `C=100` (Simonyan, 2014), the neighbors are otherwise the same.",
        "It is precise, and likewise the center of a labeled, normalized vector.",
    ],
)
def test_good_prose_has_no_faults(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The accuracy is 0.853.", "0.853 is in no output"),
        ("It is 84.9 % of them.", "84.9 % is in no output"),
        ("There are 1,824 photos.", "1,824 is in no output"),
        ("A stranger is a query.", "“stranger”"),
        ("It has 2,048 numbers a photo.", "“numbers a photo”"),
        ("The neighbours of the colour", "“neighbours”"),
        ("We normalise and recognise them.", "“normalise”"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, text: str, fault: str) -> None:
    assert any(fault in found for found in faults(tmp_path, text))
