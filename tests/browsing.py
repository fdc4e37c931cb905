"""What the tests in a browser share."""

import time
from pathlib import Path

TOKEN = "t"
SECONDS = 600  # for all cells of a notebook


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
        self.root = page.locator(".cl-demo")
        self.tiles = page.locator(".cl-tile")

    def wait(self, words: str, seconds: float = 60) -> str:
        """Wait until the status line says something, and return all that it says."""
        line = self.page.locator(".cl-status > div").filter(has_text=words).first
        line.wait_for(timeout=1000 * seconds, state="attached")
        return line.inner_text()

    def upload(self, name: str, data: bytes) -> None:
        self.page.locator(".cl-zone input").set_input_files(
            [{"name": name, "mimeType": "image/jpeg", "buffer": data}]
        )

    def drop(self, name: str, data: bytes | int) -> None:
        """Drop a file on the page; a number stands for so many bytes of zeros."""
        self.page.evaluate(
            """([name, data]) => {
              const bytes = new Uint8Array(data), transfer = new DataTransfer();
              transfer.items.add(new File([bytes], name));
              const event = {dataTransfer: transfer, bubbles: true, cancelable: true};
              document.querySelector('.cl-tiles').dispatchEvent(new DragEvent('drop', event));
            }""",
            [name, data if isinstance(data, int) else list(data)],
        )

    def act(self, place: int, label: str) -> None:
        """Press a button of a tile, counted from 0."""
        tile = self.tiles.nth(place)
        tile.hover()
        # New results may move the tile from under the mouse, and its buttons take no click then.
        tile.get_by_role("button", name=label).dispatch_event("click")

    def paths(self) -> list[str]:
        return self.tiles.locator(".cl-path").all_inner_texts()

    def wait_for_tiles(self, n: int) -> float:
        began = time.perf_counter()
        self.page.wait_for_function(
            "n => document.querySelectorAll('.cl-tile').length == n", arg=n, polling=5
        )
        return 1000 * (time.perf_counter() - began)

    def wait_for_paths(self, paths: list[str], *, same: bool, seconds: float = 60) -> None:
        """Wait until the results are these, or others."""
        self.page.wait_for_function(
            """([paths, same]) => {
              const now = [...document.querySelectorAll('.cl-path')].map(p => p.textContent);
              return (JSON.stringify(now) === JSON.stringify(paths)) === same;
            }""",
            arg=[paths, same],
            timeout=1000 * seconds,
        )

    def overflows(self) -> int:
        return self.root.evaluate("root => root.scrollWidth - root.clientWidth")


def distorted(page) -> list[str]:
    """Name the photos that are shown in other proportions than their own."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.cl-grid img, .cl-picture img, .cl-demo img')]
           .filter(i => {
             if (!i.clientWidth || ['contain', 'cover'].includes(getComputedStyle(i).objectFit))
               return false;
             return Math.abs(i.clientWidth / i.clientHeight
                             - i.naturalWidth / i.naturalHeight) > 0.03;
           }).map(i => i.alt)"""
    )
