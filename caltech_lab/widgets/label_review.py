"""Review of suspicious labels, page by page: keep, relabel or drop."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from ipywidgets import Box, Button, Dropdown, Layout
from matplotlib.axes import Axes
from numpy.typing import NDArray

from caltech_lab.errors import LabError
from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import new_axes
from caltech_lab.studies.label_decisions import Decision, Decisions
from caltech_lab.widgets.figure_browser import NEITHER, FigureBrowser
from caltech_lab.widgets.parts import PhotoGrid, guarded

if TYPE_CHECKING:
    from caltech_lab.embedding.embeddings import Embeddings

PAGE = 12
DONE = {"keep": "kept", "relabel": "relabeled as {}", "drop": "dropped"}
ACTIONS = [
    ("choose", "Choose another category for this photo", ""),
    ("keep", "keep", "The label is correct"),
    ("relabel", "relabel", "The suggestion is correct"),
    ("drop", "drop", "Neither is correct: exclude the photo from training"),
]


class LabelReview(FigureBrowser):
    """Shows photos with suspicious labels and records decisions about them.

    Each decision is saved immediately. Clicking the same decision again revokes it.

    Parameters
    ----------
    embeddings : Embeddings
        All photos.
    issues : DataFrame
        One row per suspicious label, the most suspicious first: ``row`` in `embeddings`,
        ``category`` (the label), ``p_category`` (its predicted probability), ``suggested``
        (another category) and ``p_suggested`` (the probability of that).
    path : Path
        CSV file of the decisions; earlier decisions in it are shown and kept.
    """

    def __init__(self, embeddings: "Embeddings", issues: pd.DataFrame, path: Path) -> None:
        self.issues = issues.reset_index(drop=True)
        self.decisions = Decisions(path)
        self._place = {int(row): i for i, row in enumerate(self.issues["row"])}
        self._chosen_row: int | None = None
        decided = self._decided(embeddings)
        super().__init__(
            embeddings, _plot(self.issues, decided),
            "Use the buttons to keep the label of a photo, relabel it as suggested, or drop it. "
            "For another category, click the photo and choose from the list.",
        )  # fmt: skip
        self.grid = PhotoGrid(ACTIONS, self._clicked, 150)
        self.before = Button(description="Previous", layout=Layout(width="auto"))
        self.after = Button(description="Next", layout=Layout(width="auto"))
        self.before.on_click(lambda _: self._turn(-1))
        self.after.on_click(lambda _: self._turn(1))
        self.category = Dropdown(options=[NEITHER, *embeddings.categories], disabled=True,
                                 layout=Layout(width="auto"))  # fmt: skip
        self.category.observe(self._category_chosen, "value")
        pairs = Counter(self.issues[["category", "suggested"]].itertuples(index=False, name=None))
        self._pairs = {f"{a}, perhaps {b}: {n}": (a, b) for (a, b), n in pairs.most_common()}
        self.choice.options = [NEITHER, *self._pairs]
        row = Layout(flex_flow="row wrap", width="100%")
        self.children = [
            self.figure, Box([self.before, self.after, self.choice, self.category], layout=row),
            self.status, self.text, self.grid,
        ]  # fmt: skip
        self._listed: NDArray[np.int64] = np.arange(len(self.issues))
        undecided = np.flatnonzero(np.asarray(decided, dtype=object) == "")
        self._page = int(undecided[0]) // PAGE if len(undecided) else 0
        self._show_page()

    def _decided(self, embeddings: "Embeddings") -> list[str]:
        decision = self.decisions.table()["decision"]
        shas = [embeddings.photos.sha256[row] for row in self.issues["row"]]
        return [str(one) for one in decision.reindex(shas).fillna("")]

    def _show_page(self) -> None:
        pages = max(1, -(-len(self._listed) // PAGE))
        self._page = min(max(self._page, 0), pages - 1)
        places = self._listed[self._page * PAGE : (self._page + 1) * PAGE]
        table, names = self.decisions.table(), self.embeddings.photos.sha256
        here = self.issues.iloc[places]
        lines = {
            int(row): [f"label {p:.2f}", f"{other} {q:.2f}"]
            for row, p, other, q in here[
                ["row", "p_category", "suggested", "p_suggested"]
            ].to_numpy()
        }
        decided = sum(names[row] in table.index for row in self.issues["row"])
        self.show(
            f"{decided} of {len(self.issues):,} decided, in {self.decisions.path.name}. "
            f"Page {self._page + 1} of {pages}, the most suspicious first.",
            here["row"].to_numpy(np.int64), lines,
        )  # fmt: skip
        self.before.disabled, self.after.disabled = self._page == 0, self._page == pages - 1

    def _item(self, row: int, lines: list[str]) -> dict[str, Any]:
        table, sha = self.decisions.table(), self.embeddings.photos.sha256[row]
        item = super()._item(row, lines)
        if sha in table.index:
            decision = str(table.at[sha, "decision"])
            done = DONE[decision].format(table.at[sha, "label"])
            return {**item, "mark": decision, "lines": [*item["lines"], done]}
        return item

    @guarded
    def _turn(self, by: int) -> None:
        self._page += by
        self._show_page()

    @guarded
    def _clicked(self, action: str, row: int) -> None:
        if action == "choose":
            self._chosen_row, self.category.disabled = row, False
            self.say(f"Choose the category of {self.embeddings.photos.table['path'].iat[row]}.")
            return
        table, sha = self.decisions.table(), self.embeddings.photos.sha256[row]
        suggested = str(self.issues["suggested"].iat[self._place[row]])
        there = sha in table.index and table.at[sha, "decision"] == action
        if there and action == "relabel":  # revoked only if relabeled as suggested
            there = table.at[sha, "label"] == suggested
        self._decide(row, None if there else cast(Decision, action), suggested)

    @guarded
    def _category_chosen(self, _: Any) -> None:
        row, name = self._chosen_row, self.category.value
        if row is None or name == NEITHER:
            return
        self._chosen_row, self.category.disabled, self.category.value = None, True, NEITHER
        same = name == self.embeddings.photos.table["category"].iat[row]
        self._decide(row, "keep" if same else "relabel", name)

    def _decide(self, row: int, decision: Decision | None, label: str) -> None:
        self.decisions.decide(self.embeddings, row, decision, label)
        self._show_page()

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the page with the photo nearest to the clicked point."""
        if not len(self.issues):
            raise LabError("There are no suspicious labels, so there are no photos to show.")
        places = self.issues[["p_category", "p_suggested"]].to_numpy(dtype=float)
        self._listed = np.arange(len(self.issues))
        self._page = int(np.hypot(*(places - (x, y)).T).argmin()) // PAGE
        self._show_page()

    def chosen(self, name: str) -> None:
        """Show the suspicious labels of a pair of categories."""
        pair = self.issues[["category", "suggested"]].to_numpy() == self._pairs[name]
        self._listed, self._page = np.flatnonzero(pair.all(axis=1)), 0
        self._show_page()


def _plot(issues: pd.DataFrame, decisions: Sequence[str]) -> Axes:
    """Plot the probability of the suggestion against that of the label, colored by decision."""
    ax = new_axes(None, 7.5, 4.2)
    styles = {"": "undecided", "keep": "keep", "relabel": "relabel", "drop": "drop"}
    decided = np.asarray(decisions, dtype=object)
    for (decision, name), color, marker in zip(styles.items(), COLORS, "osD^", strict=False):
        mine = issues[decided == decision]
        if len(mine):
            ax.scatter(mine["p_category"], mine["p_suggested"], s=24, color=color, alpha=0.7,
                       marker=marker, linewidths=0, label=f"{name}: {len(mine)}")  # fmt: skip
    ax.plot([0, 0.5, 1], [1, 0.5, 0], "--", color="0.6", linewidth=1)
    ax.set(xlabel="predicted probability of the label",
           ylabel="predicted probability of the suggestion",
           xlim=(-0.01, max(0.5, issues["p_category"].max() * 1.1 if len(issues) else 0)),
           ylim=(0, 1.02))  # fmt: skip
    if len(issues):
        ax.legend(frameon=False, loc="upper right")
    return ax
