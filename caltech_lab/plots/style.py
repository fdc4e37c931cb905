"""Shared style of the figures: sizes and names."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from numpy.typing import ArrayLike

from caltech_lab.errors import shown_name

STYLE: dict[str, Any] = {"axes.spines.top": False, "axes.spines.right": False, "grid.color": "0.9"}
LONGEST = 40  # maximum number of characters of a name in figures


def new_axes(ax: Axes | None = None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return `ax`, or the axes of a new figure of that size in inches, in the shared style."""
    if ax is not None:
        return ax
    with sns.axes_style("whitegrid", STYLE):
        return plt.subplots(figsize=(width, height), layout="constrained")[1]


# ---- names of files and categories ------------------------------------------------------------


def in_figure(name: object, longest: int = LONGEST) -> str:
    r"""Return a name as figures show it: unchanged, but on one line and not too long.

    Dollar signs are escaped, so that they do not start a formula. If the current fonts lack a
    script, another installed font is added to them. If no font has it, its characters are shown as
    escapes, as unprintable characters are, and one line reports it.

    Parameters
    ----------
    name : object
        For example the name of a category.
    longest : int
        Maximum number of characters; of a longer name, the beginning and the end are kept.

    Examples
    --------
    >>> print(in_figure("A$AP\nKe$ha"))
    A\$AP\nKe\$ha
    """
    text = " ".join(shown_name(name).split())
    lacking = _without_font(text)
    text = "".join(ascii(c)[1:-1] if c in lacking else c for c in text)
    if len(text) > longest:
        end = longest // 3
        text = f"{text[: longest - end - 1]}…{text[-end:]}"
    return text.replace("$", r"\$")


def name_ticks(
    axis: Axis,
    places: ArrayLike,
    names: Iterable[object],
    longest: int = LONGEST,
    **style: Any,
) -> None:
    """Write names at the ticks of an axis."""
    labels = [in_figure(name, longest) for name in names]
    # The axes may be older than the fonts for these names.
    axis.set_ticks(places, labels, family=plt.rcParams["font.family"], **style)


_HOPELESS: set[str] = set()  # characters that no installed font has


def _without_font(text: str) -> set[str]:
    """Return the characters of a text that no installed font has, after adding fonts as needed."""
    while lacking := {c for c in text if not c.isascii()} - _HOPELESS:
        for family in plt.rcParams["font.family"]:
            lacking -= _covered(lacking, findfont(FontProperties(family=[family])))
        if not lacking:
            break
        fonts = {e.name: e.fname for e in fontManager.ttflist if (e.style, e.weight) == REGULAR}
        helps = {
            name: len(_covered(lacking, file))
            for name, file in sorted(fonts.items(), key=lambda font: "Sans" not in font[0])
            if "Last Resort" not in name and not name.startswith(".")  # draws only boxes
        }
        best = max(helps, key=lambda name: helps[name], default="")
        if not helps.get(best):
            if not _HOPELESS:
                sample = "".join(sorted(lacking)[:3])
                print(
                    f"No font on this machine has some characters of these names ({sample}), "
                    "which figures show as escapes: install one that has, such as Noto Sans."
                )
            _HOPELESS.update(lacking)
            break
        plt.rcParams["font.family"] = STYLE["font.family"] = [*plt.rcParams["font.family"], best]
    return _HOPELESS


REGULAR = ("normal", 400)


def _covered(characters: set[str], file: str) -> set[str]:
    try:
        font = get_font(file)
    except (OSError, RuntimeError):
        return set()
    return {c for c in characters if font.get_char_index(ord(c))}
