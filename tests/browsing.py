"""What the tests in a browser share."""

import time
from pathlib import Path

TOKEN = "t"
SECONDS = 600  # for all cells of a notebook
STATUS = ".jupyter-widgets div[role=status], .jupyter-widgets div[role=alert]"


def demo(folder: Path) -> Path:
    """Return the notebook that ends in the demo."""
    (path,) = folder.glob("*_retrieval_demo.ipynb")
    return path


def open_and_run(page, address: str, notebook: Path) -> None:
    """Open a notebook in JupyterLab with a fresh kernel, and run all of its cells."""
    head = {"Authorization": f"token {TOKEN}"}
    for session in page.request.get(f"{address}/api/sessions", headers=head).json():
        page.request.delete(f"{address}/api/sessions/{session['id']}", headers=head)
    page.goto(f"{address}/lab/tree/{notebook.name}?token={TOKEN}&reset")
    page.get_by_role("tab", name=notebook.name).first.wait_for(timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).wait_for(timeout=60_000)
    page.wait_for_timeout(3000)
    for note in page.get_by_role("button", name="No", exact=True).all():
        note.click()  # the offer of Jupyter's news lies over the notebook
    page.keyboard.press("Control+b")  # the list of files takes room
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


class Demo:
    """What a person sees and does."""

    def __init__(self, page) -> None:
        self.page = page
        self.grid = page.locator(".cl-grid").nth(1)

    def wait(self, words: str, seconds: float = 60) -> str:
        """Wait until the status line says something, and return all that it says."""
        line = self.page.locator(STATUS).filter(has_text=words).first
        line.wait_for(timeout=1000 * seconds, state="attached")
        return line.inner_text()

    def upload(self, name: str, data: bytes) -> None:
        self.page.locator(".cl-drop input").set_input_files(
            [{"name": name, "mimeType": "image/jpeg", "buffer": data}]
        )

    def titles(self) -> list[str]:
        return self.grid.locator("figure").evaluate_all(
            "all => all.map(f => f.querySelector('figcaption span').textContent"
            " + f.querySelector('figcaption b').textContent.replace(/^\\d+/, ''))"
        )

    def wait_for_cards(self, n: int) -> float:
        began = time.perf_counter()
        self.page.wait_for_function(
            "n => document.querySelectorAll('.cl-grid')[1].children.length == n", arg=n, polling=5
        )
        return 1000 * (time.perf_counter() - began)

    def wait_for_text(self, text: str, *, same: bool) -> None:
        """Wait until the cards say this, or something else."""
        self.page.wait_for_function(
            """([text, same]) =>
              (document.querySelectorAll('.cl-grid')[1].innerText === text) === same""",
            arg=[text, same],
        )


def distorted(page) -> list[str]:
    """Name the photos that are shown in other proportions than their own."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.cl-grid img, .cl-picture img')].filter(i => {
             if (!i.clientWidth || getComputedStyle(i).objectFit === 'contain') return false;
             return Math.abs(i.clientWidth / i.clientHeight
                             - i.naturalWidth / i.naturalHeight) > 0.03;
           }).map(i => i.alt)"""
    )
