"""Recording the figures of the notebooks."""

from pathlib import Path

import pytest

from tools import recording


def test_a_change_of_the_package_or_of_the_notebook_is_another_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ROOT", tmp_path)
    module = tmp_path / "caltech_lab" / "metrics" / "clusters.py"
    module.parent.mkdir(parents=True)
    first, second = (
        next((Path(__file__).parents[2] / "notebooks").glob(f"{number}_*.ipynb"))
        for number in ("03", "04")
    )
    module.write_text("a = 1")
    codes = {recording.code_of(first), recording.code_of(second)}
    assert recording.code_of(first) in codes
    module.write_text("a = 2")
    assert recording.code_of(first) not in codes
    assert len(codes) == 2
