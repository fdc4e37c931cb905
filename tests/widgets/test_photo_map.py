"""What the map of photos sends to the page: colors, names of regions and places."""

import re

import numpy as np
import pytest

from caltech_lab.widgets.photo_map import colors, regions, unit_square


def groups(*middles: tuple[float, float], n: int = 30, spread: float = 0.02) -> np.ndarray:
    """Return n places around each middle."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.array(middles), n, axis=0)
    return (places + spread * rng.normal(size=places.shape)).clip(0, 1).astype(np.float32)


def test_a_category_keeps_its_color_whatever_the_others_are():
    assert colors(3) == colors(101)[:3]
    assert len(set(colors(21))) == 21
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors(101))
    assert "#000000" not in colors(101)


def test_a_region_has_the_name_of_its_majority_at_its_middle_and_the_largest_is_first():
    places = np.concatenate([groups((0.2, 0.2)), groups((0.8, 0.7), n=60), groups((0.1, 0.9))])
    names = ["a"] * 20 + ["x"] * 10 + ["b"] * 60 + ["c"] * 15 + ["d"] * 15
    (x, y, first), (*_, second) = [
        region for region in regions(places, names) if region[2] in ("a", "b")
    ]
    assert (first, second) == ("b", "a")
    assert (x, y) == (pytest.approx(0.8, abs=0.03), pytest.approx(0.7, abs=0.03))


def test_neighboring_hills_of_one_category_are_one_region_and_distant_ones_are_two():
    ridge = groups(*[(0.1 + 0.06 * i, 0.3) for i in range(6)])
    places = np.concatenate([ridge, groups((0.8, 0.8))])
    assert [name for *_, name in regions(places, ["a"] * len(places))] == ["a", "a"]


def test_only_as_many_regions_as_wanted_and_none_without_names():
    places = groups(*[(x, y) for x in (0.1, 0.5, 0.9) for y in (0.1, 0.5, 0.9)])
    names = np.repeat([f"cluster {i}" for i in range(9)], 30)
    assert {name for *_, name in regions(places, names)} == set(names)
    assert len(regions(places, names, most=4)) == 4
    assert regions(places, [""] * len(places)) == []


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 50])
def test_regions_of_any_places(n):
    rng = np.random.default_rng(n)
    for places in (rng.random((n, 2)), rng.random((n, 2)) ** 4, np.full((n, 2), 0.5)):
        found = regions(places.astype(np.float32), rng.integers(0, 2, n).astype(str))
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _ in found)


def test_places_fill_the_unit_square_in_their_own_proportions():
    flat = np.array([[-30.0, 2], [10, 12], [-10, 7]])
    np.testing.assert_allclose(unit_square(flat), [[0, 0.375], [1, 0.625], [0.5, 0.5]])
    np.testing.assert_array_equal(unit_square(np.zeros((3, 2))), np.full((3, 2), 0.5))
