"""The figures of photos show what they are given."""

import weakref

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from caltech_lab.plots import photos

mpl.use("agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_a_grid_shows_each_photo_upright_in_its_proportions():
    wide, tall = Image.new("RGB", (80, 40), "red"), np.zeros((60, 30, 3), np.uint8)
    ax = photos.grid_of_photos([wide, tall, wide], ["a", "b", "c"], columns=2)
    shapes = []
    for image in ax.get_images():
        left, right, below, above = image.get_extent()
        assert above < below  # the y axis points down, so row 0 is on top
        shapes.append((right - left) / (below - above))
    assert shapes == pytest.approx([2, 0.5, 2])
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    assert ax.get_images()[2].get_extent()[3] > ax.get_images()[0].get_extent()[2]  # second row


def test_a_grid_keeps_small_copies_of_one_large_photo_after_the_other():
    alive: list[weakref.ref] = []

    def large():
        for _ in range(3):
            assert not [photo for photo in alive if photo() is not None]
            photo = Image.new("RGB", (3000, 2000))
            alive.append(weakref.ref(photo))
            yield photo
            del photo

    ax = photos.grid_of_photos(large(), columns=3)
    assert [image.get_size() for image in ax.get_images()] == [(427, 640)] * 3


def test_figures_are_drawn_into_given_axes():
    ax = plt.subplots()[1]
    assert photos.grid_of_photos([np.zeros((4, 4, 3), np.uint8)], ax=ax) is ax
