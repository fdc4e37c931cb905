"""What CI runs on Caltech-101: as many notebooks as this machine can run in the time there is."""

import sys
from pathlib import Path

import pytest

from tools import caltech101
from tools.caltech101 import NEEDS, Need, plan
from tools.series import notebooks


def test_every_notebook_has_its_needs() -> None:
    assert list(NEEDS) == [path.stem for path in notebooks()]
    assert all(need.after in ("", *NEEDS) for need in NEEDS.values())


@pytest.mark.parametrize(
    ("milliseconds", "minutes", "chosen"),
    [
        (0, 10, ["a", "b", "c", "d"]),
        (5, 10, ["a", "b", "c", "d"]),  # 50 + 100 + 150 + 300 seconds: all that there are
        (5, 9.9, ["a", "b", "c"]),
        (5, 2.4, ["a"]),
        (50, 9, ["a", "d"]),  # b takes 550 seconds, and c would make what b makes
        (50, 0.5, []),
    ],
)
def test_notebooks_are_chosen_in_their_order_while_there_is_time(
    milliseconds: float, minutes: float, chosen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {"a": Need(0, 50), "b": Need(10_000, 50), "c": Need(0, 150, "b"), "d": Need(0, 300)}
    monkeypatch.setattr(caltech101, "NEEDS", needs)
    assert plan(milliseconds, minutes) == (chosen, [name for name in needs if name not in chosen])


def test_the_chosen_ones_are_printed_and_the_others_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(caltech101, "NEEDS", {"01_one": Need(0, 1), "02_two": Need(10**9, 1)})
    monkeypatch.setattr(caltech101, "forward_milliseconds", lambda network, repeats: 5.0)
    monkeypatch.setattr(sys, "argv", ["caltech101", "--minutes", "15"])
    assert caltech101.main() == 0
    printed = capsys.readouterr()
    assert [Path(path).name for path in printed.out.split()] == ["01_one.ipynb"]
    assert "left out: 02_two" in printed.err
