"""The demo as a person uses it, in JupyterLab and in Voilà."""

import io
import re
import statistics
import time

import pytest

from caltech_lab.datasets import drawn
from caltech_lab.demo.page import SPACES
from tests.browsing import SECONDS, Demo, demo, distorted, open_and_run
from tools.sample_painter import draw

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    """Return pictures that the gallery does not have, as JPEG files."""
    found = []
    for category in drawn.CATEGORIES[:5]:
        buffer = io.BytesIO()
        draw(category, drawn.PHOTOS_PER_CATEGORY + 1).save(buffer, "JPEG", quality=92)
        found.append(buffer.getvalue())
    return found


def test_the_demo_in_jupyterlab(page, lab_address, notebooks, photos, shoot):
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_and_run(page, lab_address, demo(notebooks))
    person = Demo(page)
    person.wait("Results for", SECONDS)
    person.wait_for_cards(10)
    page.locator(".cl-drop").scroll_into_view_if_needed()

    # An upload that the gallery does not know, answered with scores.
    person.upload("holiday.jpg", photos[0])
    person.wait("Results for holiday.jpg", 120)
    person.wait_for_cards(10)
    text = person.grid.inner_text()
    assert len(re.findall(r"cosine \d\.\d{3}", text)) == 10
    assert len(re.findall(r"same category \d+ %", text)) == 10
    assert page.get_by_text("Not in the gallery").count() == 1

    # From choosing a file to its answer on the page, without the network's forward pass.
    waits = []
    for number, photo in enumerate(photos * 3):
        began = time.perf_counter()
        person.upload(f"photo{number}.jpg", photo)
        said = person.wait(f"Results for photo{number}.jpg")
        person.wait_for_cards(10)
        waits.append(1000 * (time.perf_counter() - began) - int(re.search(r"embed (\d+)", said)[1]))
    print(
        f"\nupload to answer in the browser, beyond the forward pass: "
        f"median {statistics.median(waits):.0f} ms, largest {max(waits):.0f} ms"
    )

    # Another k is drawn from what is there.
    slider = page.locator(".widget-slider .noUi-handle").first
    redraws = {}
    for key, n in (("End", 50), ("Home", 1), ("End", 50), ("Home", 1)):
        slider.focus()
        page.keyboard.press(key)
        redraws[n] = person.wait_for_cards(n)
    print("a new k in the browser:", {n: f"{ms:.0f} ms" for n, ms in redraws.items()})
    slider.focus()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    person.wait_for_cards(10)

    # A bad mark takes a photo out and changes the order; forgetting the marks brings it back.
    before = person.titles()
    person.grid.locator("figure").nth(1).get_by_role("button", name="bad", exact=True).click()
    page.get_by_text("1 bad: ranking adjusted").wait_for()
    after = person.titles()
    assert before[1] not in after
    assert after != before
    assert len(after) == 10
    person.grid.locator("figure").nth(0).get_by_role("button", name="good", exact=True).click()
    page.get_by_text("1 marked good, 1 bad").wait_for()
    assert page.locator("figure.cl-good").count() == 1
    page.get_by_role("button", name="Clear the marks").click()
    page.wait_for_function(
        "t => document.querySelectorAll('.cl-grid')[1].textContent.includes(t)", arg=before[1][:12]
    )
    assert person.titles() == before

    # What is no photo is one sentence, and the demo goes on.
    person.upload("letter.jpg", b"Dear all, this is no photo.\n" * 20)
    person.wait("is not a JPEG")
    assert page.locator(".jupyter-widgets div[role=alert]").count() == 1
    faults = page.locator(".jp-OutputArea-output[data-mime-type*=stderr]").all_inner_texts()
    assert faults == []

    # A file larger than a message of Jupyter may be comes through; one that is too large is told.
    person.upload("long.jpg", photos[1] + b" " * 12_000_000)
    person.wait("Results for long.jpg", 60)
    person.upload("huge.jpg", photos[1] + bytes(49_000_000))
    person.wait("Results for huge.jpg", 60)
    page.evaluate(
        """() => {
          const zone = document.querySelector('.cl-drop'), data = new DataTransfer();
          data.items.add(new File([new Uint8Array(129 * 2 ** 20)], 'giant.png'));
          zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));
        }"""
    )
    person.wait("giant.png has 129 MB")

    # Dropping, as with the mouse.
    page.evaluate(
        """bytes => {
          const zone = document.querySelector('.cl-drop'), data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], 'dropped.jpg'));
          zone.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));
        }""",
        list(photos[2]),
    )
    person.wait("Results for dropped.jpg")

    # A part of the photo, dragged out.
    picture = page.locator(".cl-picture").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.9 * box["height"], steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Search with this part").click()
    person.wait("Results for a part of dropped.jpg")
    page.get_by_role("button", name="Whole photo").click()
    person.wait("Results for dropped.jpg")

    # Why: both photos, then one region of the query.
    page.get_by_role("button", name="why?").nth(1).click()
    page.get_by_text("Light regions contribute most").wait_for(timeout=120_000)
    region = page.locator(".cl-picture").nth(1)
    box = region.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.get_by_text("the outlined region of the query").wait_for()
    page.get_by_role("button", name="All regions").click()
    page.get_by_text("Light regions contribute most").wait_for()

    # It fits, at 1280 and at 900 pixels, and no photo is distorted.
    output = page.locator(".jp-OutputArea-output:has(.cl-drop)")
    for width in (1280, 900):
        page.set_viewport_size({"width": width, "height": 2400})
        page.wait_for_timeout(800)
        assert output.evaluate("o => o.scrollWidth - o.clientWidth") <= 1
        assert distorted(page) == []
        shoot(output, "demo" if width == 1280 else "demo-900")
    page.get_by_role("button", name="Close").click()

    # A path, also a wrong one; a filter.
    path = page.get_by_placeholder("or the path of a photo")
    path.fill("no/such/photo.jpg")
    path.press("Enter")
    person.wait("does not exist")
    before = person.grid.inner_text()
    page.get_by_role("button", name="Surprise me").click()
    person.wait_for_text(before, same=False)
    person.wait("Results for")

    # Other vectors, which the notebook has made: the same query, answered anew, and back.
    plain = person.grid.inner_text()
    spaces = page.locator(".jupyter-widgets select").filter(has_text="learned from the categories")
    for (label, _), same in zip(reversed(SPACES), (False, True), strict=True):
        spaces.select_option(label=label)
        person.wait_for_text(plain, same=same)
    category = drawn.CATEGORIES[-1]
    filters = page.locator(".jupyter-widgets select").filter(has_text="only categories")
    filters.select_option(category)
    page.wait_for_function(
        """c => [...document.querySelectorAll('.cl-grid')[1].querySelectorAll('figcaption b')]
              .every(b => b.textContent.endsWith(c))""",
        arg=category,
    )
    assert errors == []


def test_the_demo_in_voila(page, voila_address, photos, shoot):
    page.goto(voila_address, timeout=1000 * SECONDS)
    person = Demo(page)
    person.wait("Results for", SECONDS)
    person.wait_for_cards(10)
    assert page.locator(".jp-CodeCell .jp-InputArea:visible").count() == 0
    assert "import caltech_lab" not in page.inner_text("body")
    person.upload("holiday.jpg", photos[0])
    person.wait("Results for holiday.jpg", 120)
    person.wait_for_cards(10)
    assert "cosine" in person.grid.inner_text()
    before = person.titles()
    person.grid.locator("figure").nth(0).get_by_role("button", name="bad", exact=True).click()
    page.get_by_text("1 bad: ranking adjusted").wait_for()
    assert before[0] not in person.titles()
    person.upload("letter.jpg", b"Dear all, this is no photo.")
    person.wait("is not a JPEG")
    assert distorted(page) == []
    shoot(
        page.locator(".jupyter-widgets:has(> .cl-drop), .jupyter-widgets:has(.cl-drop)").first,
        "demo-page",
    )
