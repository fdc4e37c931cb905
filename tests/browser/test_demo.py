"""The demo as a person uses it, in JupyterLab and as a page of its own."""

import io
import re
import statistics
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from caltech_lab.datasets import drawn
from tests.browsing import SECONDS, Demo, distorted, open_and_run
from tools.sample_painter import draw

pytestmark = pytest.mark.timeout(1200)

CELL = """
import caltech_lab
from caltech_lab.demo import RetrievalDemo, SearchSession

RetrievalDemo(SearchSession(caltech_lab.open_lab()))
"""
# A text tower that finds the first photo of the gallery by any words.
CELL_WITH_WORDS = """
from dataclasses import replace

import caltech_lab
from caltech_lab.demo import RetrievalDemo, SearchSession

lab = caltech_lab.open_lab()
tower = replace(lab.backbone, text=lambda texts: lab.embeddings.X[[0]])
RetrievalDemo(SearchSession(caltech_lab.Lab(lab.photos, tower)))
"""


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    """Return pictures that the gallery does not have, as JPEG files."""
    found = []
    for category in drawn.CATEGORIES[:5]:
        buffer = io.BytesIO()
        draw(category, drawn.PHOTOS_PER_CATEGORY + 1).save(buffer, "JPEG", quality=92)
        found.append(buffer.getvalue())
    return found


def accessible(page) -> None:
    """Check that axe-core finds no serious fault."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=".cl-demo").response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert [(f["id"], [n["html"][:200] for n in f["nodes"][:3]]) for f in serious] == []


def focused(page) -> str:
    return page.evaluate("document.activeElement.className")


def test_the_demo_as_a_page(page, serve_demo, photos, shoot, tmp_path):
    page.set_default_timeout(60_000)
    began = time.perf_counter()
    address = serve_demo("drawn")
    page.goto(address, timeout=1000 * SECONDS)
    person = Demo(page)
    person.wait("Results for", SECONDS)
    person.wait_for_tiles(24)
    print(f"\nfrom the command to the first results: {time.perf_counter() - began:.1f} s")
    person.wait("classify", SECONDS)
    print(f"from the command to the predictions: {time.perf_counter() - began:.1f} s")
    assert page.title() == "Search by photo"
    assert "import" not in page.inner_text("body")
    accessible(page)

    # An upload that the gallery does not know.
    person.upload("holiday.jpg", photos[0])
    person.wait("Results for holiday.jpg", 120)
    page.get_by_text("Not in the gallery").wait_for()
    chances = person.tiles.locator(".cl-chance").all_inner_texts()
    assert all(re.fullmatch(r"(> )?\d+ %", text) for text in chances)
    # The clock is the page's, so that the time of this program's own messages is left out.
    page.evaluate(
        """() => {
          document.addEventListener("change", () => { window.began = performance.now(); }, true);
          new MutationObserver(() => { window.ended = performance.now(); }).observe(
            document.querySelector(".cl-status"),
            { childList: true, characterData: true, subtree: true });
        }"""
    )
    waits = []
    for number, photo in enumerate(photos * 6):
        person.upload(f"photo{number}.jpg", photo)
        said = person.wait(f"Results for photo{number}.jpg")
        waits.append(
            page.evaluate("window.ended - window.began") - int(said.split("embed ")[1].split()[0])
        )
    print(
        f"from upload to results in the browser, beyond the forward pass: "
        f"median {statistics.median(waits):.0f} ms, largest {max(waits):.0f} ms"
    )

    # The number of results, marks with the keyboard, undo.
    slider = page.get_by_label("Number of results")
    for key, n in (("End", 50), ("Home", 1), ("End", 50)):
        slider.focus()
        page.keyboard.press(key)
        person.wait_for_tiles(n)
    before = person.paths()
    person.tiles.nth(1).get_by_role("button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("b")
    page.get_by_text("0 marked good, 1 bad").wait_for()
    assert before[1] not in person.paths()
    assert focused(page) == "cl-tile-photo"
    page.keyboard.press("Home")
    page.keyboard.press("g")
    page.get_by_text("1 marked good, 1 bad").wait_for()
    assert page.locator(".cl-tile.cl-good").count() == 1
    page.get_by_role("button", name="Clear the marks").click()
    person.wait_for_paths(before, same=True)
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("1 marked good, 1 bad").wait_for()
    assert before[1] not in person.paths()

    # Several photos, and the history.
    single = page.locator(".cl-query-name").inner_text()
    person.act(2, "Add ")
    page.locator(".cl-parts li").nth(1).wait_for()
    person.act(4, "Subtract ")
    page.locator(".cl-parts li").nth(2).wait_for()
    accessible(page)
    page.locator(".cl-parts li").nth(2).get_by_role("button").click()
    page.locator(".cl-parts li").nth(2).wait_for(state="detached")
    for _ in range(3):
        page.get_by_role("button", name="Previous query").click()
        person.wait("Results for")
        page.wait_for_timeout(200)
    page.wait_for_function(
        "name => document.querySelector('.cl-query-name').textContent === name", arg=single
    )
    page.get_by_text("1 marked good, 1 bad").wait_for()

    # Enlarged beside the query; Escape leads back to the tile.
    person.tiles.nth(0).get_by_role("button").first.focus()
    page.keyboard.press(" ")
    light = page.get_by_role("dialog")
    light.locator("img[src^='blob:']").nth(1).wait_for()
    accessible(page)
    page.keyboard.press("ArrowRight")
    light.get_by_text(re.compile(r"^2\. ")).wait_for()
    shoot(page, "demo-enlarged")
    page.keyboard.press("Escape")
    light.wait_for(state="hidden")
    assert focused(page) == "cl-tile-photo"

    # Taking results away.
    page.get_by_role("button", name="Export").click()
    for label, start in (("CSV", b'"query","rank","path"'), ("Contact sheet", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        assert Path(download.value.path()).read_bytes().startswith(start)
    page.get_by_label("Photos to export").select_option("good")
    page.get_by_label("Folder to copy the photos to").fill(str(tmp_path / "found"))
    page.get_by_role("button", name="Copy photos").click()
    person.wait("1 photo copied to")
    assert len(list((tmp_path / "found").iterdir())) == 1
    page.get_by_text("The same query in Python").click()
    page.get_by_text("session.mark(").wait_for()
    accessible(page)
    page.get_by_role("button", name="Export").click()

    # The map: a click on a photo makes it the query.
    page.get_by_role("button", name="Map", exact=True).click()
    page.locator(".cl-map canvas").first.wait_for(timeout=120_000)
    accessible(page)
    before = person.paths()
    page.locator(".cl-map-top").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".cl-map-card img[src^='blob:']").wait_for()
    shoot(page, "demo-map")
    page.keyboard.press("Enter")
    person.wait_for_paths(before, same=False)
    page.get_by_role("button", name="Map", exact=True).click()

    # Files of a megabyte and more; one that is too large; what is no photo.
    person.upload("long.jpg", photos[1] + b" " * 12_000_000)
    person.wait("Results for long.jpg", 60)
    (tmp_path / "huge.jpg").write_bytes(photos[1] + bytes(63_000_000))
    page.locator(".cl-zone input").set_input_files(tmp_path / "huge.jpg")
    person.wait("Results for huge.jpg", 60)
    person.drop("giant.png", 129 * 2**20)
    person.wait("giant.png has 129 MB")
    person.upload("letter.jpg", b"Dear all, this is no photo.\n" * 20)
    person.wait("is not a JPEG")
    assert page.locator(".cl-status [role=alert]").count() == 1
    for _ in range(2):
        person.drop("dropped.jpg", photos[2])
        person.wait("Results for dropped.jpg")
        person.upload("long.jpg", photos[1] + b" " * 12_000_000)  # and before it is there ...
        person.upload("last.jpg", photos[3])
        person.wait("Results for last.jpg")
        page.wait_for_timeout(500)
        assert page.locator(".cl-query-name").inner_text() == "last.jpg"

    for width in (700, 1280, 1900):
        page.set_viewport_size({"width": width, "height": 1028})  # 1,280 wide, four whole rows
        page.wait_for_timeout(400)
        assert person.overflows() <= 1
        assert distorted(page) == []
        page.locator(".cl-tile").nth(6).hover()  # shows what can be done with a result
        shoot(page, "demo" if width == 1280 else f"demo-{width}")


def test_the_demo_on_photos_without_labels(page, serve_demo, tmp_path):
    page.set_default_timeout(60_000)
    sizes = [(900, 60), (60, 900), (300, 200), (1, 1), (64, 64), (20, 31), (400, 300), (7, 500)]
    for number, size in enumerate(sizes):
        shape = (size[1], size[0], 4 if number % 2 else 3)
        pixels = np.random.default_rng(number).integers(0, 255, shape, dtype=np.uint8)
        name = f"{number} <b>it's{'.gif' if number == 4 else '.png'}"
        Image.fromarray(pixels).convert("RGB" if number == 4 else None).save(tmp_path / name)
    page.goto(serve_demo(str(tmp_path)), timeout=1000 * SECONDS)
    person = Demo(page)
    person.wait("Results for", SECONDS)
    person.wait_for_tiles(7)
    page.get_by_text("need categories, and these photos have none").wait_for()
    page.get_by_role("button", name="Filters").click()
    page.get_by_text("These photos have no categories to filter by.").wait_for()
    assert not page.get_by_label("Search by").is_visible()
    for _ in range(3):  # opened, closed, and opened again
        page.get_by_role("button", name="Map", exact=True).click()
        page.wait_for_timeout(300)
    page.locator(".cl-map canvas").first.wait_for()
    assert page.locator(".cl-map canvas").first.bounding_box()["height"] > 100
    for _ in range(2):
        person.upload("bad.txt", b"no photo")
        page.wait_for_timeout(500)
        person.wait("bad.txt is not", 120)
    assert "<b>it's" in person.tiles.nth(0).inner_text()
    person.act(0, "Show which")
    page.get_by_text("Light regions contribute most").wait_for(timeout=120_000)
    page.set_viewport_size({"width": 700, "height": 1100})
    page.wait_for_timeout(400)
    assert person.overflows() <= 1
    accessible(page)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_demo_in_jupyterlab(page, lab_address, notebooks, photos, shoot, theme):
    page.set_default_timeout(60_000)
    settings = f"{lab_address}/lab/api/settings/@jupyterlab/apputils-extension:themes?token=t"
    page.request.put(settings, data={"raw": f'{{"theme": "{theme}"}}'})
    dark = theme.endswith("Dark")
    cell = nbformat.v4.new_code_cell((CELL_WITH_WORDS if dark else CELL).strip())
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = notebooks / f"demo-{theme.split()[1].lower()}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    open_and_run(page, lab_address, path)
    person = Demo(page)
    person.wait("Results for", SECONDS)
    person.wait_for_tiles(24)
    accessible(page)

    # Keys act on a photo, and not on the cells of the notebook.
    cells = page.locator(".jp-Cell").count()
    person.tiles.nth(2).get_by_role("button").first.focus()
    page.keyboard.press("b")
    page.get_by_text("0 marked good, 1 bad").wait_for()
    page.keyboard.press("a")
    page.locator(".cl-parts li").nth(1).wait_for()
    assert page.locator(".jp-Cell").count() == cells

    # A part of a photo, and why two photos are similar.
    person.upload("holiday.jpg", photos[0])
    person.wait("Results for holiday.jpg", 120)
    picture = page.locator(".cl-query .cl-layered")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.9 * box["height"], steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Search with this part").click()
    person.wait("Results for a part of holiday.jpg")
    page.get_by_role("button", name="Whole photo").click()
    person.wait("Results for holiday.jpg")
    person.tiles.nth(1).get_by_role("button").first.focus()
    page.keyboard.press("w")
    page.get_by_text("Light regions contribute most").wait_for(timeout=120_000)
    region = page.locator(".cl-drawer .cl-layered").first
    box = region.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.get_by_text("the outlined region of the query").wait_for()
    accessible(page)
    shoot(person.root, "demo-why" + ("-dark" if dark else ""))
    page.locator(".cl-drawer button").first.focus()
    page.keyboard.press("Escape")
    page.locator(".cl-drawer").wait_for(state="hidden")
    assert focused(page) == "cl-tile-photo"

    # A path, also a wrong one; a filter; other vectors.
    path = page.get_by_label("Path of a photo")
    path.fill("no/such/photo.jpg")
    path.press("Enter")
    person.wait("does not exist")
    category = drawn.CATEGORIES[-1]
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Filter by category").select_option(category)
    page.wait_for_function(
        "c => [...document.querySelectorAll('.cl-name')].every(n => n.textContent === c)",
        arg=category,
    )
    accessible(page)
    page.get_by_role("button", name=f"Remove the filter {category}").click()
    page.wait_for_function(  # and not a number of tiles, which may be the same with the filter
        "c => [...document.querySelectorAll('.cl-name')].some(n => n.textContent !== c)",
        arg=category,
    )
    words = page.get_by_label("Words to search for")
    if dark:
        words.fill("a red boat")
        words.press("Enter")
        person.wait('Results for "a red boat"')
        page.wait_for_function(
            "c => document.querySelector('.cl-tile .cl-name').textContent === c",
            arg=drawn.CATEGORIES[0],
        )
        accessible(page)
        return
    assert not words.is_visible()
    plain = person.paths()
    for value, same in (("learned", False), ("plain", True)):
        page.get_by_label("Search by").select_option(value)
        person.wait_for_paths(plain, same=same, seconds=SECONDS)  # more views of all photos
    assert page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").all_inner_texts() == []
