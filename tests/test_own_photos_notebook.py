"""The cells of `own_photos.ipynb` on collections that are small, or copies of one photo."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from caltech_lab.settings import settings

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "own_photos.ipynb"
CASES = {
    "one": ({"": 1}, None),
    "two": ({"": 2}, None),
    "three": ({"": 3}, None),
    "five": ({"": 5}, None),
    "one photo six times": ({"": 6}, 1),
    "two photos ten times": ({"": 20}, 2),
    "a lonely category": ({"a": 6, "b": 6, "misc": 1}, None),
    "a photo per category": ({"a": 1, "b": 1}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cell_works_or_says_what_is_missing(
    case: str, tmp_path: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes, different = CASES[case]
    paths = [
        tmp_path / "photos" / category / f"p{number:02d}.png"
        for category, size in sizes.items()
        for number in range(size)
    ]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = number % different if different else number
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    environment.setenv("CALTECH_LAB_DATASET", str(tmp_path / "photos"))
    environment.setenv("CALTECH_LAB_BACKBONE", "pixels")
    environment.setenv("MPLBACKEND", "Agg")
    settings.cache_clear()

    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    folder = f"FOLDER = {str(tmp_path / 'photos')!r}"
    script = tmp_path / "own_photos.py"
    script.write_text(re.sub(r'^FOLDER = ""$', lambda _: folder, code, flags=re.MULTILINE))
    names = runpy.run_path(str(script))
    plt.close("all")

    out = capsys.readouterr().out
    most = min(len(paths) - 1, different or len(paths))
    missing = "Clusters need at least three photos, and two that are different." in out
    assert missing == (most < 2)
    assert 1 <= int(str(names["best_k"])) <= max(most, 1)
    assert ("There is no other photo to find." in out) == (len(paths) == 1)
