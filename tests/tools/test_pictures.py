"""Pictures come from tagged cells only."""

import io
from base64 import b64encode

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools.pictures import pictures


def cell(color: str, *tags: str) -> nbformat.NotebookNode:
    buffer = io.BytesIO()
    Image.new("RGBA", (2, 2), color).save(buffer, "PNG")
    png = b64encode(buffer.getvalue()).decode()
    shown = new_output("display_data", {"image/png": png, "text/plain": "<Figure>"})
    text = new_output("stream", text="two photos\n")
    return new_code_cell("show()", outputs=[text, shown], metadata={"tags": list(tags)})


def test_tagged_figures_are_found_by_name():
    book = new_notebook(
        cells=[
            new_markdown_cell("Photos"),
            cell("red", "photos"),
            cell("blue", "photos", "picture:results"),
            new_code_cell("1", metadata={"tags": ["picture:nothing"]}),
        ]
    )
    found = pictures(book)
    assert list(found) == ["results"]
    assert found["results"].mode == "RGB"
    assert found["results"].getpixel((0, 0)) == (0, 0, 255)
