"""The map of photos on a page of its own, without a kernel."""

import json

import numpy as np
import pytest

from caltech_lab.widgets.photo_map import SCRIPT, STYLE, colors

MARGIN = 18  # of the map, in pixels
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
CORNERS = [[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5], [0.5, 0.75]]


class Map:
    """A map on a page, and what it reports."""

    def __init__(self, page, places, labels=(), names=(), regions=(), width=900) -> None:
        self.page, self.errors = page, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.set_viewport_size({"width": width, "height": 600})
        given = {"labels": [*labels] or [-1] * len(places), "names": names,
                 "colors": colors(len(names)), "regions": regions}  # fmt: skip
        script = f"""
          const log = [], given = {json.dumps(given)};
          const report = (kind) => (...values) => log.push([kind, ...values]);
          const map = photoMap(document.querySelector("#map"), {{
            ...given, points: Float32Array.from({json.dumps(np.ravel(places).tolist())}),
            labels: Int32Array.from(given.labels), onHover: report("hover"),
            onClick: report("click"), onSelect: report("select"),
          }});"""
        page.set_content(
            f"<style>{STYLE.read_text()}</style><div id=map></div>"
            f"<script>{SCRIPT.read_text()}\n{script}</script>"
        )
        self.canvas, self.card = page.locator(".cl-map-top"), page.locator(".cl-map-card")
        self.legend = page.locator(".cl-map-legend button")
        self.frames()

    def frames(self) -> None:
        """Wait until it is drawn."""
        self.page.evaluate(
            "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )

    def do(self, script: str) -> None:
        self.page.evaluate(script)
        self.frames()

    def reported(self, kind: str) -> list[object]:
        """Return what it has reported of a kind since the last time."""
        found = [entry[1:] for entry in self.page.evaluate("log") if entry[0] == kind]
        self.page.evaluate("log.length = 0")
        return found

    def screen(self, x: float, y: float) -> tuple[float, float]:
        """Return where a place of the unit square is on the page, when all of it is shown."""
        box = self.canvas.bounding_box()
        scale = min(box["width"], box["height"]) - 2 * MARGIN
        return (
            box["x"] + box["width"] / 2 + (x - 0.5) * scale,
            box["y"] + box["height"] / 2 - (y - 0.5) * scale,
        )

    def color(self, x: float, y: float) -> list[int]:
        """Return the color that the points have at a place on the page."""
        return self.page.evaluate(
            """([x, y]) => {
              const canvas = document.querySelector('.cl-map-stage canvas');
              const box = canvas.getBoundingClientRect(), g = canvas.getContext('2d');
              return [...g.getImageData(x - box.left, y - box.top, 1, 1).data];
            }""",
            self.screen(x, y),
        )


def test_a_click_reports_the_nearest_photo_and_a_drag_moves_the_map(page):
    places = np.random.default_rng(0).random((500, 2))
    places[:4] = CORNERS[:4]
    shown = Map(page, places)
    spots = np.array([shown.screen(*place) for place in places])
    for x, y in np.random.default_rng(1).uniform(spots.min(0), spots.max(0), (40, 2)):
        page.mouse.click(x, y)
        away = np.hypot(*(spots - [x, y]).T)
        expected = [[int(away.argmin())]] if away.min() < 12 else []
        assert shown.reported("click") == expected
    x, y = spots[7]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -150)
    shown.frames()
    page.mouse.down()
    page.mouse.move(x - 60, y + 40, steps=3)
    page.mouse.up()
    page.mouse.click(x - 60, y + 40)
    assert shown.reported("click") == [[7]]
    page.get_by_title("Show the whole map").click()
    page.mouse.click(x, y)
    assert shown.reported("click") == [[7]]
    assert shown.errors == []


def test_the_wheel_zooms_about_the_pointer(page):
    shown = Map(page, CORNERS)
    x, y = shown.screen(0.5, 0.75)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.mouse.click(x, y)
    assert shown.reported("click") == [[5]]
    page.mouse.click(*shown.screen(0.5, 0.5))
    assert shown.reported("click") == []
    page.mouse.dblclick(*shown.screen(0.3, 0.7))  # beside all photos
    page.mouse.click(*shown.screen(0.5, 0.5))
    assert shown.reported("click") == [[4]]


def test_a_preview_is_asked_for_once_and_shown_at_its_point_inside_the_map(page):
    shown = Map(page, CORNERS, labels=[0] * 6, names=["cup"])
    stage = page.locator(".cl-map-stage").bounding_box()
    for row, place in enumerate(CORNERS):
        page.mouse.move(*shown.screen(*place))
        shown.card.wait_for()
        assert shown.card.inner_text() == "cup"
        page.wait_for_function("log.length")
        assert shown.reported("hover")[-1] == [row, False]
        shown.do(f"map.setPreview({row}, '{PIXEL}', 'cup {row}')")
        assert shown.card.inner_text() == f"cup {row}"
        assert page.locator("[aria-live]").inner_text() == f"cup {row}"
        assert shown.card.locator("img").get_attribute("src") == PIXEL
        box = shown.card.bounding_box()
        for start, size in (("x", "width"), ("y", "height")):
            assert box[start] >= stage[start]
            assert box[start] + box[size] <= stage[start] + stage[size]
    page.mouse.move(*shown.screen(0.25, 0.25))
    shown.card.wait_for(state="hidden")
    shown.do("map.setPreview(0, '', 'This file can no longer be read.')")
    page.mouse.move(*shown.screen(0, 0))
    shown.card.get_by_text("no longer").wait_for()
    page.wait_for_function("log.some(([, row, known]) => row === 0 && known)")
    assert shown.card.locator("img").is_hidden()


def test_the_keyboard_goes_to_the_nearest_photo_in_a_direction(page):
    shown = Map(page, CORNERS)
    shown.do("map.setQuery(4)")
    shown.canvas.focus()
    for key, row in [("ArrowUp", 5), ("ArrowUp", 5), ("ArrowLeft", 2), ("ArrowDown", 0),
                     ("+", 0), ("ArrowRight", 1), ("0", 1)]:  # fmt: skip
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        assert shown.reported("click") == [[row]], key
        assert page.locator("[aria-live]").inner_text() == f"photo {row + 1}"
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert shown.reported("click") == []
    assert "Map of 6 photos" in shown.canvas.get_attribute("aria-label")


def test_a_lasso_reports_the_photos_inside(page):
    shown = Map(page, CORNERS)
    around = [(0.4, 0.4), (0.6, 0.4), (0.6, 0.9), (0.4, 0.9)]
    for shift in (True, False):
        if not shift:
            page.get_by_title("Draw around photos").click()
        page.mouse.move(*shown.screen(*around[0]))
        if shift:
            page.keyboard.down("Shift")
        page.mouse.down()
        for place in around[1:]:
            page.mouse.move(*shown.screen(*place), steps=4)
        page.mouse.up()
        page.keyboard.up("Shift")
        assert shown.reported("select") == [[[4, 5]]]


def test_the_legend_starts_with_the_results_and_dims_the_others(page):
    names = [f"c{i}" for i in range(12)]
    labels = [0, 1, 2, 3, 3, 11, *range(12)]
    places = [*CORNERS, *[[0.1 + 0.06 * i, 0.2] for i in range(12)]]
    shown = Map(page, places, labels, names)
    assert shown.legend.all_inner_texts() == [f"c{i}" for i in (3, 0, 1, 2, 11, 4, 5, 6)]
    assert page.get_by_text("and 4 more").count() == 1
    full = shown.color(*CORNERS[0])
    shown.do("map.setShown([5, 4, 3])")
    assert shown.legend.all_inner_texts() == [f"c{i}" for i in (3, 11, 0, 1, 2, 4, 5, 6)]
    assert page.locator(".cl-map-dim").all_inner_texts() == [f"c{i}" for i in (0, 1, 2, 4, 5, 6)]
    assert shown.color(*CORNERS[0])[3] < full[3] / 2
    assert shown.color(*CORNERS[4])[3] > 200
    shown.legend.nth(2).click()
    shown.frames()
    assert shown.color(*CORNERS[0]) == full
    assert shown.color(*CORNERS[4])[3] < full[3] / 2


def test_names_that_would_overlap_are_left_out_until_there_is_room(page):
    regions = [[0.5, 0.5, "first"], [0.51, 0.5, "second"]]
    page.goto("about:blank")
    page.evaluate(
        """() => {
          window.written = [];
          const fill = CanvasRenderingContext2D.prototype.fillText;
          CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
            window.written.push(text);
            fill.call(this, text, ...rest);
          };
        }"""
    )
    shown = Map(page, CORNERS, regions=regions)
    assert set(page.evaluate("written")) == {"first"}
    page.mouse.move(*shown.screen(0.5, 0.5))
    for _ in range(5):
        page.mouse.wheel(0, -200)
    shown.frames()
    assert set(page.evaluate("written")) == {"first", "second"}


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_photos_and_copies_at_one_place(page, n):
    shown = Map(page, [[0.5, 0.5]] * n, width=380)
    shown.canvas.focus()
    for key in ("ArrowLeft", "ArrowUp", "+", "-", "0", "Enter"):
        page.keyboard.press(key)
    assert len(shown.reported("click")) == min(n, 1)
    shown.do("map.setQuery(null, [0.5, 0.5])")
    assert shown.errors == []
    shown.do("map.destroy()")
    assert page.locator("#map *").count() == 0
