"""The browsers without a browser: what a click shows, against the arrays that it came from."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage

from caltech_lab import widgets as browsers
from caltech_lab.widgets.cluster_portraits import (
    branch_members,
    cluster_plane,
    drawn_branches,
    portrait,
)
from tests.made_embeddings import scattered_embeddings


@pytest.fixture(scope="module", name="embeddings")
def a_few_features(_drawn_once):
    return scattered_embeddings(_drawn_once, noise=0.5)


def shown(html):
    return re.sub(r"<[^>]+>", " ", html.value).strip()


def rows_of(grid):
    return [item["row"] for item in grid.items]


def click(browser, ax, x, y):
    """Click where a point of the axes lies on the picture."""
    across, up = ax.transData.transform((x, y))
    wide, high = browser._size
    browser._figure_clicked(across / wide, 1 - up / high)


def still(browser):
    bundle, _ = browser._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    data = base64.b64decode(bundle["image/png"])
    assert len(data) < 80_000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width > 500
    return data


# ---- the arithmetic ------------------------------------------------------------------------


def test_a_portrait_by_hand():
    X = np.float32([[1, 0], [0.6, 0.8], [0, 1], [0, 1], [-1, 0]])
    y = np.array([0, 0, 1, 1, 2])
    about = portrait(
        X, y, ["a", "b", "c"], np.array([0, 1, 2]), {7: np.array([3]), 8: np.array([4])}
    )
    assert about.rows.tolist()[0] == 1  # the middle points at 48 degrees, and this lies at 53
    assert about.purity == pytest.approx(2 / 3)
    assert about.contents == [("a", 2), ("b", 1)]
    assert [name for name, _ in about.nearest] == [7, 8]
    middle = X[:3].mean(axis=0) / np.linalg.norm(X[:3].mean(axis=0))
    assert about.nearest[0][1] == pytest.approx(middle[1], rel=1e-5)


def test_on_the_plane_clusters_do_not_overlap(embeddings):
    clusters = np.asarray(embeddings.y // 2)
    places = cluster_plane(embeddings.X, clusters)
    assert places.shape == (len(embeddings.X), 2)
    middles = np.stack([places[clusters == c].mean(axis=0) for c in range(7)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=-1).argmin(axis=1)
    assert (nearest == clusters).mean() > 0.9
    np.testing.assert_array_equal(places, cluster_plane(embeddings.X, clusters))


@pytest.mark.parametrize("clusters", [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 2, 3]])
def test_few_clusters_and_small_ones_have_a_place(embeddings, clusters):
    assert np.isfinite(cluster_plane(embeddings.X[:4], np.array(clusters))).all()


def test_drawn_branches_are_those_of_the_linkage_matrix(embeddings):
    Z = linkage(embeddings.X, "ward")
    branches = drawn_branches(Z, 10)
    leaves = branches[branches["is_leaf"]]
    assert len(leaves) == 10
    assert sorted(leaves["position"]) == [5 + 10 * i for i in range(10)]
    assert len(branches) == 18  # all nodes of a dendrogram with ten leaves, but the root
    groups = [branch_members(Z, node) for node in leaves["node"]]
    assert sorted(np.concatenate(groups)) == list(range(len(embeddings.X)))
    cut = fcluster(Z, 10, "maxclust")
    assert {frozenset(group.tolist()) for group in groups} == {
        frozenset(np.flatnonzero(cut == c).tolist()) for c in np.unique(cut)
    }
    assert (branches["joined"] > branches["height"]).all()
    assert branches["joined"].max() == pytest.approx(Z[-1, 2])


def test_a_dendrogram_of_fewer_photos_than_branches(embeddings):
    Z = linkage(embeddings.X[:4], "ward")
    branches = drawn_branches(Z, 30)
    assert sorted(branches.loc[branches["is_leaf"], "node"]) == [0, 1, 2, 3]


# ---- the browsers --------------------------------------------------------------------------


@pytest.fixture(name="confusion")
def confusion_browser(embeddings):
    rows = np.arange(0, len(embeddings.X), 2)
    y = embeddings.y[rows]
    predicted = np.where(np.arange(len(rows)) % 5 == 0, (y + 1) % 14, y)
    probabilities = np.full((len(rows), 14), 0.02)
    probabilities[np.arange(len(rows)), predicted] = 0.74
    return browsers.ConfusionBrowser(embeddings, rows, probabilities), rows, predicted


def test_a_click_on_the_confusion_matrix_shows_its_photos(confusion, embeddings):
    browser, rows, predicted = confusion
    y = embeddings.y[rows]
    wrong = np.flatnonzero(predicted != y)[0]
    click(browser, browser.axes[0], predicted[wrong], y[wrong])
    mine = rows[(y == y[wrong]) & (predicted == predicted[wrong])]
    assert rows_of(browser.grid) == mine.tolist()
    names = embeddings.categories
    assert f"predicted as {names[predicted[wrong]]}" in shown(browser.text)
    assert browser.grid.items[0]["lines"][1] == f"{names[predicted[wrong]]} 74 %"
    (mark,) = browser.figure.marks
    assert 0 < mark[0] < mark[0] + mark[2] < 1
    click(browser, browser.axes[0], 3, 3)
    assert "correctly predicted as" in shown(browser.text)


def test_a_click_beside_the_colored_cells_says_so_and_a_near_one_counts(confusion):
    browser, _, _ = confusion
    click(browser, browser.axes[0], 12, 2)
    assert "There are no photos near this place" in shown(browser.status)
    assert browser.grid.items == []
    click(browser, browser.axes[0], 3.8, 3)
    assert 'role="alert"' not in browser.status.value
    assert browser.grid.items


def test_the_list_of_mistakes_does_what_a_click_does(confusion):
    browser, _, _ = confusion
    browser.choice.value = browser.choice.options[1]
    first, rest = browser.choice.value.split(" predicted as ")
    second, n = rest.rsplit(": ", 1)
    assert len(browser.grid.items) == int(n)
    assert {item["title"] for item in browser.grid.items} == {first}
    assert f"predicted as {second}" in shown(browser.text)


def test_clusters(embeddings):
    clusters = np.asarray(embeddings.y // 3)
    places = cluster_plane(embeddings.X, clusters)
    browser = browsers.ClusterBrowser(embeddings, clusters, places)
    row = 17
    click(browser, browser.axes[0], *places[row])
    assert rows_of(browser.grid)[0] == row
    cluster = clusters[row]
    assert set(clusters[rows_of(browser.grid)]) == {cluster}
    members = np.flatnonzero(clusters == cluster)
    purity = np.bincount(embeddings.y[members]).max() / len(members)
    text = shown(browser.text)
    assert f"Cluster {cluster}: {len(members)} photos, purity {purity:.2f}" in text
    assert "nearest other clusters" in text
    smallest = browser._order[0]
    click(browser, browser.axes[1], 1, 0)
    assert set(clusters[rows_of(browser.grid)]) == {smallest}
    browser.choice.value = "cluster 2"
    assert set(clusters[rows_of(browser.grid)]) == {2}
    still(browser)


def test_a_branch_of_a_dendrogram(embeddings):
    Z = linkage(embeddings.X, "ward")
    browser = browsers.TreeBrowser(embeddings, Z, leaves=12)
    for _, branch in browser.branches.iterrows():
        middle = (branch["height"] + branch["joined"]) / 2
        click(browser, browser.axes[0], middle, branch["position"])
        members = branch_members(Z, int(branch["node"]))
        assert f"{len(members)} photos" in shown(browser.text)
        assert set(rows_of(browser.grid)) <= set(members.tolist())
    assert "nearest other branches" in shown(browser.text)
    browser.choice.value = browser.choice.options[3]
    assert f"{len(browser.grid.items)} photos" in shown(browser.text) or "24 are shown" in shown(
        browser.text
    )
    still(browser)


def test_categories_by_score_and_their_worst_results(embeddings):
    rng = np.random.default_rng(1)
    rows = np.arange(0, len(embeddings.X), 2)
    precision = rng.integers(0, 11, len(rows)) / 10
    predicted = np.where(rng.random(len(rows)) < 0.7, embeddings.y[rows], 0)
    neighbors = rng.integers(0, len(embeddings.X), (len(rows), 10))
    names = embeddings.categories
    table = pd.DataFrame(
        {
            "accuracy": rng.random(14),
            "precision@10": rng.random(14),
            "photos": rng.integers(5, 50, 14),
        },
        index=names,
    )
    browser = browsers.CategoryBrowser(embeddings, table, rows, precision, predicted, neighbors)
    for order in ("precision@10", "photos", "accuracy"):
        browser.order.value = order
        listed = [line.split()[0] for line in browser.list.options[1:]]
        assert listed == list(table.sort_values(order, kind="stable").index)
    browser.list.value = browser.list.options[2]
    worst = listed[1]
    mine = rows[embeddings.y[rows] == names.index(worst)]
    assert set(rows_of(browser.grid)) == set(mine.tolist())
    values = [precision[rows.tolist().index(row)] for row in rows_of(browser.grid)]
    assert values == sorted(values)
    click(browser, browser.axes[0], 5, 0.5)
    assert {item["title"] for item in browser.grid.items} == {listed[5]}
    row = rows_of(browser.grid)[0]
    browser.grid._received(browser.grid, {"action": "results", "row": row}, [])
    assert rows_of(browser.results) == neighbors[rows.tolist().index(row)].tolist()
    still(browser)


@pytest.fixture(name="on_map")
def map_browser(embeddings, monkeypatch):
    """Return a map, a way to act on it as the page does, and what it sends to the page."""
    browser = browsers.MapBrowser(embeddings, 50 * embeddings.X[:, :2], np.array([3, 1]))
    sent = []
    monkeypatch.setattr(browser.map, "send", sent.append)

    def act(kind, *rows):
        browser.map._received(browser.map, {"kind": kind, "rows": rows}, [])

    return browser, act, sent


def test_the_map_has_a_place_and_a_category_for_each_photo(on_map, embeddings):
    browser, _, _ = on_map
    points = np.frombuffer(browser.map.points, np.float32).reshape(-1, 2)
    X = embeddings.X[:, :2]
    scale = 1 / np.ptp(X, axis=0).max()
    np.testing.assert_allclose(np.diff(points, axis=0), scale * np.diff(X, axis=0), atol=1e-5)
    assert np.frombuffer(browser.map.labels, np.int32).tolist() == embeddings.y.tolist()
    assert browser.map.names == embeddings.categories
    assert len(set(browser.map.colors)) == len(embeddings.categories)
    assert {name for *_, name in browser.map.regions} <= set(embeddings.categories)
    assert browser.map.first == [3, 1]
    still(browser)


def test_a_lasso_on_the_map_shows_its_photos(on_map, embeddings):
    browser, act, _ = on_map
    act("select", 3, 5, 8)
    assert rows_of(browser.grid) == browser.map.shown == [3, 5, 8]
    assert shown(browser.text) == "3 photos selected: butterfly 2, cup 1."
    act("select")
    assert "There are no photos in this area" in shown(browser.status)
    act("select", len(embeddings.X))  # no such photo
    assert browser.map.shown == [3, 5, 8]


def test_a_click_on_the_map_shows_the_photos_around(on_map, embeddings):
    browser, act, _ = on_map
    act("click", 9)
    away = np.linalg.norm(embeddings.X[:, :2] - embeddings.X[9, :2], axis=1)
    assert rows_of(browser.grid) == browser.map.shown == np.argsort(away)[:24].tolist()


def test_hovering_over_the_map_sends_the_photo_or_says_that_it_is_gone(on_map, embeddings):
    browser, act, sent = on_map
    act("hover", 4)
    assert sent[-1]["row"] == 4
    assert sent[-1]["src"].startswith("data:image/jpeg")
    assert sent[-1]["caption"].startswith(embeddings.categories[embeddings.y[4]] + "\n")
    browser.thumbnail = lambda _: None
    act("hover", 5)
    assert sent[-1]["src"] == ""


def test_a_chosen_category_is_marked_on_the_map(on_map, embeddings):
    browser, _, _ = on_map
    name = embeddings.categories[4]
    browser.choice.value = name
    assert {item["title"] for item in browser.grid.items} == {name}
    assert browser.map.shown == np.flatnonzero(embeddings.y == 4).tolist()


def test_a_fault_in_a_browser_is_shown(confusion, monkeypatch, caplog):
    browser, _, _ = confusion

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(browser, "clicked", broken)
    click(browser, browser.axes[0], 3, 3)
    assert "ZeroDivisionError" in shown(browser.status)
    assert "ZeroDivisionError" in caplog.text
