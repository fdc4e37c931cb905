"""What all the figures share: colors that color-blind readers tell apart, sizes, and names."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from numpy.typing import ArrayLike

from caltech_lab.errors import shown_name

# Okabe and Ito's palette, in the order in which it is used.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
SEQUENTIAL = "viridis"
STYLE: dict[str, Any] = {"axes.spines.top": False, "axes.spines.right": False, "grid.color": "0.9"}
LONGEST = 40  # characters of a name that figures show


def new_axes(ax: Axes | None = None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return `ax`, or the axes of a new figure of that size in inches, in the series' style."""
    if ax is not None:
        return ax
    with sns.axes_style("whitegrid", STYLE):
        return plt.subplots(figsize=(width, height), layout="constrained")[1]


# ---- names that people gave -------------------------------------------------------------------


def in_figure(name: object, longest: int = LONGEST) -> str:
    r"""Return a name as figures show it: as it is, on one line, and not too long.

    A dollar sign begins no formula. For a script that the fonts in use lack, another installed
    font is added to them; where there is none, its characters are shown as escapes, as those are
    that no console shows either, and one line says so.

    Parameters
    ----------
    name : object
        Such as the name of a category.
    longest : int
        Characters to keep; of a longer name the beginning and the end.

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
    # The axes may be older than the fonts that these names need.
    axis.set_ticks(places, labels, family=plt.rcParams["font.family"], **style)


_HOPELESS: set[str] = set()  # characters that no installed font has


def _without_font(text: str) -> set[str]:
    """Return the characters of a text that no font has, once all that helps is in use."""
    while lacking := {c for c in text if not c.isascii()} - _HOPELESS:
        for family in plt.rcParams["font.family"]:
            lacking -= _covered(lacking, findfont(FontProperties(family=[family])))
        if not lacking:
            break
        fonts = {e.name: e.fname for e in fontManager.ttflist if (e.style, e.weight) == REGULAR}
        helps = {
            name: len(_covered(lacking, file))
            for name, file in sorted(fonts.items(), key=lambda font: "Sans" not in font[0])
            if "Last Resort" not in name and not name.startswith(".")  # boxes for everything
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
