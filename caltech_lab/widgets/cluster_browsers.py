"""Browsers for clusters, as points and bars or as branches of a dendrogram."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from caltech_lab.plots.clustering import dendrogram
from caltech_lab.plots.overviews import clusters_and_contents
from caltech_lab.widgets.cluster_portraits import branch_members, drawn_branches, portrait
from caltech_lab.widgets.figure_browser import NEITHER, FigureBrowser

if TYPE_CHECKING:
    from caltech_lab.embedding.embeddings import Embeddings

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class ClusterBrowser(FigureBrowser):
    """Clusters as points and bars; a click shows the photos of a cluster.

    Parameters
    ----------
    embeddings : Embeddings
        All photos.
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo in the plane.
    """

    def __init__(self, embeddings: "Embeddings", clusters: Ints, places: Floats) -> None:
        self.clusters, self.places = clusters, places
        self.groups = {int(c): np.flatnonzero(clusters == c) for c in np.unique(clusters)}
        counts = pd.crosstab(clusters, np.asarray(embeddings.photos.table["category"]))
        super().__init__(
            embeddings,
            clusters_and_contents(places, clusters, counts),
            "Click a point or a bar to see the photos of its cluster below.",
        )
        sizes = counts.sum(axis=1).sort_values(kind="stable")
        self._order: list[int] = sizes.index.to_numpy().tolist()
        self.choice.options = [NEITHER, *(f"cluster {c}" for c in self.groups)]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the cluster of the nearest point or bar."""
        if ax is self.axes[1]:
            self._show_cluster(self._order[min(max(round(y), 0), len(self._order) - 1)])
            return
        spots = ax.transData.transform(self.places) - ax.transData.transform((x, y))
        row = int(np.hypot(*spots.T).argmin())
        self._show_cluster(int(self.clusters[row]), row)

    def chosen(self, name: str) -> None:
        """Show the cluster with this name."""
        self._show_cluster(int(name.rpartition(" ")[2]))

    def _show_cluster(self, cluster: int, first: int | None = None) -> None:
        place = self._order.index(cluster)
        _, right = self.axes[1].get_xlim()
        self.outline(self.axes[1], 0, place - 0.45, right, place + 0.45)
        others = {c: rows for c, rows in self.groups.items() if c != cluster}
        show_portrait(self, f"Cluster {cluster}", "clusters", self.groups[cluster], others, first)


class TreeBrowser(FigureBrowser):
    """A dendrogram whose branches show their photos.

    Parameters
    ----------
    embeddings : Embeddings
        All photos.
    Z : ndarray of float64, shape (n - 1, 4)
        Their linkage matrix.
    leaves : int
        Number of leaves in the drawing.
    """

    def __init__(self, embeddings: "Embeddings", Z: NDArray[np.float64], leaves: int = 30) -> None:
        self.Z = Z
        self.branches = drawn_branches(Z, leaves)
        _, ax = plt.subplots(
            figsize=(10.5, 1 + 0.21 * (self.branches["is_leaf"].sum())), layout="constrained"
        )
        names = embeddings.photos.table["category"].tolist()
        dendrogram(Z, names, leaves=leaves, ax=ax)
        super().__init__(
            embeddings, ax, "Click a branch to see its photos below. A line stands for everything "
            "to its right."
        )  # fmt: skip
        drawn = self.branches[self.branches["is_leaf"]]
        order: list[int] = drawn.sort_values("position")["node"].to_numpy().tolist()
        self.leaves = {node: branch_members(Z, node) for node in order}
        labels = [label.get_text().replace(r"\$", "$") for label in ax.get_yticklabels()]
        self._names = dict(zip(order, labels, strict=True))
        options = {f"{place + 1}. {self._names[node]}": node for place, node in enumerate(order)}
        self._options = options
        self.choice.options = [NEITHER, *options]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the branch whose line is nearest."""
        b = self.branches
        inside = np.clip(x, b["height"], b["joined"])
        spots = ax.transData.transform(np.column_stack([inside, b["position"]]))
        away = np.hypot(*(spots - ax.transData.transform((x, y))).T)
        self._show_branch(b["node"].to_numpy().tolist()[int(away.argmin())])

    def chosen(self, name: str) -> None:
        """Show the branch with this name."""
        self._show_branch(self._options[name])

    def _show_branch(self, node: int) -> None:
        joined = float(self.branches.loc[self.branches["node"] == node, "joined"].iloc[0])
        rows = branch_members(self.Z, node)
        inside = [leaf for leaf, members in self.leaves.items() if members[0] in set(rows.tolist())]
        places = self.branches.set_index("node").loc[inside, "position"]
        self.outline(self.axes[0], 0, places.min() - 4, joined, places.max() + 4)
        others = {leaf: members for leaf, members in self.leaves.items() if leaf not in inside}
        show_portrait(self, "This branch", "branches", rows, others, None, self._names)


def show_portrait(
    browser: FigureBrowser,
    title: str,
    kind: str,
    rows: Ints,
    others: dict[int, Ints],
    first: int | None = None,
    names: "dict[int, str] | None" = None,
) -> None:
    """Show the photos of a group, its purity and its nearest other groups.

    Parameters
    ----------
    browser : FigureBrowser
        Browser to show them in.
    title, kind : str
        Name of this group, and the plural noun for groups.
    rows : ndarray of int64
        Photos of the group.
    others : dict
        Photos of the other groups, by number.
    first : int, optional
        The photo that was clicked, shown first.
    names : dict, optional
        Names of the other groups; their numbers and most frequent categories by default.
    """
    embeddings = browser.embeddings
    about = portrait(embeddings.X, embeddings.y, embeddings.categories, rows, others)
    contents = ", ".join(f"{name} {n}" for name, n in about.contents[:4])
    near = []
    for number, cosine in about.nearest[:3]:
        top = np.bincount(embeddings.y[others[number]]).argmax()
        name = names[number] if names else f"{number}, mostly {embeddings.categories[top]}"
        near.append(f"{name} (cosine {cosine:.2f})")
    shown = about.rows
    if first is not None:
        shown = np.concatenate([[first], shown[shown != first]])
    browser.show(
        f"{title}: {len(rows):,} photos, purity {about.purity:.2f} ({contents}). "
        f"The nearest other {kind}: {'; '.join(near) or 'none'}. The photos nearest to the "
        f"centroid come first{'' if first is None else ', after the one that was clicked'}.",
        shown,
    )
