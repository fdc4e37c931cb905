"""The browsers as a person uses them, in JupyterLab."""

import nbformat
import pytest

from tests.browsing import SECONDS, distorted, open_and_run

pytestmark = pytest.mark.timeout(1200)

CELLS = {
    "start": """
import caltech_lab
import numpy as np
import pandas as pd
from sklearn.manifold import TSNE
from caltech_lab.widgets.cluster_portraits import cluster_plane
from caltech_lab.metrics.categories import category_audit
from caltech_lab.widgets import *

lab = caltech_lab.open_lab()
embeddings = lab.embeddings
X, y = embeddings.X, embeddings.y
train, test = lab.split()
names = np.array(embeddings.categories)
""",
    "clusters": """
clusters = lab.kmeans(14).labels_
ClusterBrowser(embeddings, clusters, cluster_plane(X, clusters))
""",
    "tree": "TreeBrowser(embeddings, lab.linkage(), leaves=20)",
    "confusion": """
everything = np.arange(len(X))
vague = lab.svm().predict_proba(X + 0.03 * np.random.default_rng(0).normal(size=X.shape))
ConfusionBrowser(embeddings, everything, vague)
""",
    "categories": """
_, ten = lab.index().search(X[test], 10, exclude=test)
asked = (y[ten] == y[test, None]).mean(axis=1)
predicted = lab.svm().predict(X[test])
table = category_audit(y[test], predicted, embeddings.categories)
table["photos"] = embeddings.photos.counts[table.index]
table["precision@10"] = pd.Series(asked).groupby(names[y[test]]).mean()
CategoryBrowser(embeddings, table, test, asked, predicted, ten)
""",
    "map": """
places = TSNE(perplexity=20, init="pca", random_state=0).fit_transform(X)
MapBrowser(embeddings, places, np.arange(8))
""",
}


@pytest.fixture(scope="module")
def all_browsers(notebooks):
    """Return a notebook with one browser a cell."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source.strip()) for source in CELLS.values()],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    path = notebooks / "browsers.ipynb"
    nbformat.write(notebook, path)
    return path


def click(browser, x: float, y: float) -> None:
    """Click a place on the figure, given as shares of its width and height."""
    figure = browser.locator(".cl-picture")
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    figure.click(position={"x": x * box["width"], "y": y * box["height"]})


def hover_over_a_point(page, browser) -> None:
    """Move the mouse across the map until it is over a point, whose photo is then shown."""
    canvas = browser.locator(".cl-map-top")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    card = browser.locator(".cl-map-card")
    for x in range(0, int(box["width"]), 6):
        page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
        page.wait_for_timeout(20)
        if card.is_visible():
            break
    card.locator("img[src^='data:image/jpeg']").wait_for()
    assert "image_" in card.inner_text()


def walk_by_keys(page, browser) -> None:
    """Go to a point by the keyboard, and search with it; JupyterLab must not take the keys."""
    canvas = browser.locator(".cl-map-top")
    canvas.focus()
    cells = page.locator(".jp-CodeCell").count()
    for key in ("ArrowRight", "ArrowDown", "+", "b", "0", "0"):
        page.keyboard.press(key)
    browser.locator(".cl-map-card img[src^='data:image/jpeg']").wait_for()
    said = browser.locator("[aria-live]").inner_text()
    assert "image_" in said
    page.keyboard.press("Enter")
    browser.get_by_text("The photos around this point").wait_for()
    assert browser.locator("figure figcaption").first.inner_text().split() == said.split()
    assert canvas.evaluate("c => c === document.activeElement")
    assert page.locator(".jp-CodeCell").count() == cells
    assert page.locator(".jp-Dialog").count() == 0  # "0, 0" restarts the kernel elsewhere
    browser.get_by_title("Draw around photos").focus()
    page.keyboard.press("Enter")  # which edits the cell elsewhere
    pressed = browser.locator(".cl-map-tools [aria-pressed=true]")
    pressed.wait_for()
    pressed.click()


def draw_a_lasso(page, browser) -> None:
    """Draw around the whole map."""
    box = browser.locator(".cl-map-top").bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.keyboard.down("Shift")
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=15)
    page.mouse.up()
    page.keyboard.up("Shift")
    browser.get_by_text("336 photos selected").wait_for()
    browser.locator("figure img").nth(23).wait_for()


def test_the_browsers_in_jupyterlab(page, lab_address, all_browsers, shoot):
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": 1280, "height": 1800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_and_run(page, lab_address, all_browsers)
    page.wait_for_function(
        "n => document.querySelectorAll('.jp-OutputArea-output .cl-picture').length >= n",
        arg=len(CELLS) - 2,
        timeout=1000 * SECONDS,
    )
    # JupyterLab draws what is in sight, so each browser is looked at in turn.
    for place, (name, x, y, words) in enumerate(
        [
            ("clusters", 0.65, 0.05, "purity 0.50"),  # the largest, of two categories
            ("tree", 0.3, 0.857, "schooner"),  # the lowest branch, of three
            ("confusion", 0.25, 0.42, "schooner are predicted as ketch"),
            ("categories", 0.1, 0.4, "queries, the worst first"),  # the worst category
        ]
    ):
        cell = page.locator(".jp-CodeCell").nth(place + 1)
        cell.scroll_into_view_if_needed()
        browser = cell.locator(".jp-OutputArea-output:has(.cl-picture)").last
        click(browser, x, y)
        browser.get_by_text(words).first.wait_for()
        browser.locator("figure img").first.wait_for()
        assert browser.locator("div[role=alert]").count() == 0
        if name == "categories":
            browser.locator("figure button.cl-photo").first.click()
            browser.get_by_text("Results for").wait_for()
            browser.locator(".cl-grid").last.locator("figure").nth(9).wait_for()
        for width in (900, 1280):
            page.set_viewport_size({"width": width, "height": 1800})
            page.wait_for_timeout(500)
            assert browser.evaluate("o => o.scrollWidth - o.clientWidth") <= 1, name
            assert distorted(page) == []
            shoot(browser, f"browser_{name}" + ("-900" if width == 900 else ""))

    cell = page.locator(".jp-CodeCell").nth(5)
    cell.scroll_into_view_if_needed()
    browser = cell.locator(".jp-OutputArea-output:has(.cl-grid)").last
    browser.locator(".cl-map-top").wait_for()
    browser.locator(".jupyter-widgets select").first.select_option("ketch")
    browser.get_by_text("The photos of ketch").wait_for()
    browser.locator("figure img").nth(23).wait_for()
    for width in (900, 1280):
        page.set_viewport_size({"width": width, "height": 1800})
        page.wait_for_timeout(1500)
        assert browser.evaluate("o => o.scrollWidth - o.clientWidth") <= 1
        shoot(browser, "browser_map" + ("-900" if width == 900 else ""))
    hover_over_a_point(page, browser)
    shoot(browser, "browser_map-hover")
    walk_by_keys(page, browser)
    draw_a_lasso(page, browser)
    assert errors == []
