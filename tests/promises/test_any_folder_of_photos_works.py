"""Any folder of photos works: random names and formats through three commands, nothing lost."""

import io
import json
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from pillow_heif import from_pillow
from typer.testing import CliRunner

from caltech_lab.cli import app
from caltech_lab.datasets.folder import SPLITS, made_by_a_program
from caltech_lab.datasets.formats import FORMATS, NOT_READ, suffix_of
from caltech_lab.settings import settings as lab_settings

EXAMPLES = 500
SUFFIXES = ("", ".jpg", ".JPEG", ".png", ".heic", ".odd", " .jpg", ".jpg ")


def good(name: str) -> bool:
    return (
        name == os.fsdecode(os.fsencode(name))
        and not name.startswith(".")
        and suffix_of(name) not in NOT_READ
        and not made_by_a_program(name)
        and len(os.fsencode(name)) <= 255
    )


# Any bytes that a file system takes: other scripts, control characters, and what is no Unicode.
BYTES = st.characters(
    exclude_categories=["Cs"], exclude_characters="/\0", max_codepoint=0x1FFFF
) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"])
ODD = st.sampled_from(["\r\n", "\x1b[2J", "$a$", "é", "e\u0301", "=1+1", '"', "'", "猫", "\udcff"])
NAMES = st.lists(BYTES | ODD, min_size=1, max_size=60).map("".join).filter(good)
FILES = st.tuples(NAMES, st.sampled_from(SUFFIXES)).map("".join).filter(good)
PHOTOS = st.dictionaries(
    FILES, st.tuples(st.sampled_from(FORMATS), st.integers(0, 5)), min_size=1, max_size=4
)
FOLDERS = st.dictionaries(NAMES, PHOTOS, min_size=2, max_size=3)


@cache
def photo(kind: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
    picture, file = Image.fromarray(pixels), io.BytesIO()
    if kind == "HEIC":
        from_pillow(picture).save(file)  # type: ignore[no-untyped-call]
    else:
        picture.save(file, kind)
    return file.getvalue()


def run(root: Path, *words: str) -> tuple[int, dict[str, object]]:
    about = {
        "CALTECH_LAB_DATASET": str(root / "photos"),
        "CALTECH_LAB_OUTPUTS": str(root / "outputs"),
        "CALTECH_LAB_BACKBONE": "pixels",
    }
    with patch.dict(os.environ, about):
        lab_settings.cache_clear()
        done = CliRunner().invoke(app, [words[0], "--json", *words[1:]], catch_exceptions=False)
    lab_settings.cache_clear()
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.timeout(900)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # making an example smaller would take minutes
    suppress_health_check=list(HealthCheck),
)
@given(st.one_of(PHOTOS.map(lambda flat: {"": flat}), FOLDERS))
def test_each_photo_is_found_and_its_name_comes_back(
    folders: dict[str, dict[str, tuple[str, int]]],
) -> None:
    if {name.lower() for name in folders} <= SPLITS:
        return
    with TemporaryDirectory() as place:
        root = Path(place)
        made = {}
        for category, photos in folders.items():
            (root / "photos" / category).mkdir(parents=True, exist_ok=True)
            for name, (kind, seed) in photos.items():
                (root / "photos" / category / name).write_bytes(photo(kind, seed))
                made[f"{category}/{name}".removeprefix("/")] = category
        code, said = run(root, "extract")
        assert code == 0, said
        assert said["result"]["n_embeddings"] == len(made)
        first = root / "photos" / next(iter(made))
        code, said = run(root, "retrieve", "--", str(first))
        assert code == (len(made) < 2), said
        if len(made) > 1:
            (answer,) = said["result"]["queries"]
            found = {row["path"]: row["category"] or "" for row in answer["answers"]}
            assert len(found) == min(10, len(made) - 1)
            assert found.items() <= made.items()
            assert next(iter(made)) not in found
        code, said = run(root, "duplicates")
        assert code == 0, said
