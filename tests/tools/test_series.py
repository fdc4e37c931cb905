"""The notebooks' runner: what is normalized, what is refused."""

from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from caltech_lab.errors import LabError
from tools import series
from tools.series import faults, normalize


def notebook(*sources: str, tags: list[str] | None = None) -> nbformat.NotebookNode:
    cells = [new_code_cell(source, metadata={"tags": tags or []}) for source in sources]
    return new_notebook(cells=[*(new_markdown_cell("Text") for _ in cells), *cells])


def stream(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_output("stream", name=name, text=text)


def picture() -> nbformat.NotebookNode:
    return new_output("display_data", data={"image/png": "aGVsbG8=", "text/plain": "<Figure>"})


def written(tmp_path: Path, book: nbformat.NotebookNode) -> Path:
    path = tmp_path / "01_test.ipynb"
    path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")
    return path


def test_photographs_are_cleared_and_plots_stay() -> None:
    book = notebook("show()", tags=["photos"])
    book.cells[-1].outputs = [picture()]
    assert normalize(book).cells[-1].outputs == []
    book = notebook("plot()")
    book.cells[-1].outputs = [picture()]
    assert len(normalize(book).cells[-1].outputs) == 1


def test_progress_bars_and_warnings_leave_no_trace() -> None:
    book = notebook("work()")
    book.cells[-1].outputs = [
        stream("\r 10%|#   \r100%|####\r          \r"),
        stream("\r 50%|##  \rdone\nnext line\n"),
        stream("Outer:  62%|#### | 5/8\nInner:   0%| | 0/3\n\x1b[AInner:   3%|# | 1/3\n\x1b[A"),
        stream("a warning", name="stderr"),
    ]
    outputs = normalize(book).cells[-1].outputs
    assert [output.text for output in outputs] == ["done\nnext line\n"]


def test_widgets_are_dropped_and_metadata_reduced() -> None:
    book = notebook("demo")
    book.metadata["widgets"] = {"state": {}}
    book.cells[-1].metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "VBox()"}
    book.cells[-1].outputs = [new_output("display_data", data=widget)]
    tidy = normalize(book)
    assert tidy.cells[-1].outputs == []
    assert set(tidy.metadata) == {"kernelspec", "language_info"}
    assert set(tidy.cells[-1].metadata) == {"tags"}


def test_a_browser_leaves_its_still() -> None:
    book = notebook("browser")
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    still = {"image/png": "iVBORw0KGgo=", "text/plain": "Click a point."}
    book.cells[-1].outputs = [new_output("display_data", data=view | still)]
    (output,) = normalize(book).cells[-1].outputs
    assert output.data == still


def test_a_normalized_notebook_has_no_faults(tmp_path: Path) -> None:
    book = notebook("1 + 1", "2 + 2")
    for cell in book.cells[2:]:
        cell.execution_count = 7
        cell.outputs = [new_output("execute_result", data={"text/plain": "2"}, execution_count=7)]
    assert faults(written(tmp_path, normalize(book))) == []


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("!pip install x", "magic"),
        ("%timeit 1", "magic"),
        ("from os import *", "star import"),
        ("try:\n    1\nexcept:\n    2", "bare except"),
        ("\n".join(["x = 1"] * 21), "more than 20 lines"),
        ("open('/home/ada/photo.jpg')", "absolute path"),
    ],
)
def test_what_does_not_belong_in_a_cell_is_named(tmp_path: Path, source: str, word: str) -> None:
    found = faults(written(tmp_path, normalize(notebook(source))))
    assert any(word in fault for fault in found), found


def test_stored_errors_missing_counts_and_photos_are_named(tmp_path: Path) -> None:
    book = normalize(notebook("1 / 0", tags=["photos"]))
    book.cells[-1].execution_count = None
    book.cells[-1].outputs = [
        new_output("error", ename="ZeroDivisionError", evalue="", traceback=[]),
        picture(),
    ]
    found = " ".join(faults(written(tmp_path, book)))
    for words in ("not all executed", "stores an error", "tagged photos", "make notebooks"):
        assert words in found


def test_a_cell_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"01_test\.ipynb did not run to its end[\s\S]*ZeroDivision"):
        series.execute(written(tmp_path, notebook("1 / 0")))


def test_figures_get_a_palette_only_where_the_notebook_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    figure = np.kron(rng.choice([40, 200], (60, 60, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(figure).save(buffer, "PNG", compress_level=0)
    png = b64encode(buffer.getvalue()).decode()

    def normalized() -> str:
        book = notebook("plot()")
        book.cells[-1].outputs = [new_output("display_data", data={"image/png": png})]
        for _ in range(2):  # the second time changes nothing
            text: str = normalize(book).cells[-1].outputs[0]["data"]["image/png"]
            seen.append(text)
        return text

    seen: list[str] = []
    assert normalized() == png
    monkeypatch.setattr(series, "MAX_BYTES", 1000)
    smaller = normalized()
    assert seen[-2] == smaller
    assert len(smaller) < len(png) / 2
    with Image.open(BytesIO(b64decode(smaller))) as picture:
        np.testing.assert_allclose(np.asarray(picture.convert("RGB")), figure, atol=8)
