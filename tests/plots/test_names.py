"""Names that people gave are shown as they are: no formulas, no warnings, no burst layout."""

import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVC

from caltech_lab.plots import classification as classifiers
from caltech_lab.plots import clustering, embedding_map, overviews, style
from caltech_lab.plots import photos as of_photos
from caltech_lab.plots.palette import MARKERS
from caltech_lab.plots.style import in_figure

mpl.use("agg")

NAMES = [
    "$a$ and $b", "a_b^c", r"\alpha", r"\$x\$", "two\nlines", "a\x1b[2J\rtab\t", "q\udcff",
    "_hidden", "x" * 200, "猫" * 30, "قطة", "बिल्ली", "🐕 dog 😀", "-k", "é",
]  # fmt: skip
N = len(NAMES)
INDEX = pd.Index(NAMES, dtype=object)  # pandas' own strings take no lone surrogates
COUNTS = pd.DataFrame(np.full((2, N), 3) + np.arange(2 * N).reshape(2, N), columns=INDEX)
TREE = np.array([[i, i + N - 1 if i else 1, i + 1.0, i + 2] for i in range(N - 1)])
TREE[0, :2] = [0, 1]
TREE[1:, 0], TREE[1:, 1] = np.arange(2, N), np.arange(N, 2 * N - 2)
SIZES, SCORES = np.arange(10, 10 + N), np.linspace(0.1, 0.9, N)
AUDIT = pd.DataFrame({"n": SIZES, "accuracy": SCORES}, index=INDEX)


def boundaries(names):
    X = np.array([[-1.0, 0.0], [1.0, 1.0]])
    model = SVC(kernel="linear").fit(X, [0, 1])
    return classifiers.decision_boundaries({("linear", 1, 1): model}, X, np.array([0, 1]), names)[0]


FIGURES = {
    "embedding_map": lambda: embedding_map.embedding_map(
        np.random.default_rng(0).random((N, 2)).astype(np.float32), np.arange(N), NAMES, range(1, 8)
    ),
    "embedding_map, the others": lambda: embedding_map.embedding_map(
        np.random.default_rng(0).random((N, 2)).astype(np.float32), np.arange(N), NAMES, range(8, N)
    ),
    "clusters_and_contents": lambda: overviews.clusters_and_contents(
        np.eye(2, dtype=np.float32), np.array([0, 1]), COUNTS
    )[1],
    "category_profile": lambda: overviews.category_profile(AUDIT, ["accuracy"], "accuracy"),
    "decision_boundaries": lambda: boundaries(["_$a$", "_$b$"]),
    "confusion_heatmap": lambda: classifiers.confusion_heatmap(np.eye(N, dtype=int), NAMES),
    "grid_of_photos": lambda: of_photos.grid_of_photos([np.zeros((4, 4, 3), "uint8")] * N, NAMES),
    "cluster_contents": lambda: clustering.cluster_contents(COUNTS),
    "dendrogram": lambda: clustering.dendrogram(TREE, NAMES),
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(style, "_HOPELESS", set())
    with mpl.rc_context():
        yield
    plt.close("all")
    style.STYLE.pop("font.family", None)


@pytest.mark.parametrize("name", FIGURES)
def test_odd_names_are_drawn_without_a_warning_and_leave_room(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = FIGURES[name]()
        ax.figure.canvas.draw()
        assert ax.get_window_extent().width > 0.2 * ax.figure.bbox.width
    legend = [] if ax.get_legend() is None else ax.get_legend().get_texts()
    texts = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), *legend]
    shown = [text._preprocess_math(text.get_text()) for text in texts]
    assert not any(math for _, math in shown)
    assert name != "decision_boundaries" or shown[-2:] == [("_$a$", False), ("_$b$", False)]
    if name == "embedding_map":  # a name that starts with an underscore is not left out
        assert len(legend) == len(MARKERS)


def test_two_names_that_look_the_same_are_both_in_the_legend() -> None:
    long = ["x" * 100 + "a" + "y" * 100, "x" * 100 + "b" + "y" * 100]
    ax = embedding_map.embedding_map(np.eye(2, dtype=np.float32), np.arange(2), long, [0, 1])
    first, second = ax.get_legend().get_texts()
    assert first.get_text() == second.get_text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("$a$ and $b", r"\$a\$ and \$b"),
        ("two\nlines", r"two\nlines"),
        ("a\x1b[2J", r"a\x1b[2J"),
        ("q\udcff", r"q\udcff"),
        ("ideographic\u3000space", "ideographic space"),
        ("x" * 20 + "y" * 20, "x" * 20 + "y" * 20),
        ("x" * 30 + "y" * 30, "x" * 26 + "…" + "y" * 13),
        (3, "3"),
    ],
)
def test_a_name_in_a_figure(name: object, shown: str) -> None:
    assert in_figure(name) == shown


def test_what_no_font_has_is_an_escape_and_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = [e for e in style.fontManager.ttflist if e.name.startswith(("DejaVu", "Last Resort"))]
    monkeypatch.setattr(style.fontManager, "ttflist", known)
    assert in_figure("猫 and 犬") == r"\u732b and \u72ac"
    assert in_figure("猫") == r"\u732b"
    assert in_figure("बि") == r"\u092c\u093f"
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "No font on this machine has" in told


def test_a_font_that_has_the_script_is_used_in_axes_old_and_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another font of this machine stands for one that has it."""
    old = plt.subplots()[1]
    covered = style._covered

    def only_serif(characters: set[str], file: str) -> set[str]:
        return covered(characters, file) if "Serif" in file else set()

    monkeypatch.setattr(style, "_covered", only_serif)
    for ax in (old, style.new_axes()):
        style.name_ticks(ax.yaxis, [0], ["é"])
        assert ax.get_yticklabels()[0].get_family()[-1] == plt.rcParams["font.family"][-1]
    assert "Serif" in plt.rcParams["font.family"][-1]
    assert style.new_axes().xaxis.label.get_family() == plt.rcParams["font.family"]
    assert capsys.readouterr().out == ""


def test_a_character_of_another_installed_font_is_drawn_with_it() -> None:
    """Matplotlib's own STIX font has signs that its DejaVu Sans lacks."""
    used, other = (
        set(style.get_font(style.findfont(style.FontProperties(family=[family]))).get_charmap())
        for family in (*plt.rcParams["font.family"][:1], "STIXGeneral")
    )
    sign = next(chr(code) for code in sorted(other - used) if 0x2000 < code < 0xE000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plt.subplots()[1]
        ax.set_title("older")
        style.name_ticks(ax.yaxis, [0], [f"{sign} é"])
        assert ax.get_yticklabels()[0].get_text() == f"{sign} é"
        ax.figure.canvas.draw()
    assert len(plt.rcParams["font.family"]) == 2
