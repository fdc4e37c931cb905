"""The list of the ImageNet classes of each category."""

from importlib.resources import files

import pandas as pd

from caltech_lab.datasets import caltech101
from caltech_lab.datasets.imagenet import imagenet_classes
from caltech_lab.embedding.torchvision_operators import define_missing_operators

TABLE = pd.read_csv(files("caltech_lab.datasets") / "imagenet.csv", keep_default_na=False)


def test_each_category_of_caltech101_has_one_row_in_order() -> None:
    assert list(TABLE["category"]) == sorted(caltech101.select("all")["category"].unique())


def test_each_class_is_one_of_the_thousand_and_listed_once_per_category() -> None:
    define_missing_operators()
    from torchvision.models import ResNet50_Weights

    known = set(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
    for category in TABLE["category"]:
        classes = imagenet_classes(category)
        assert set(classes) <= known
        assert len(set(classes)) == len(classes)


def test_categories_with_and_without_a_class() -> None:
    assert imagenet_classes("dalmatian") == ("dalmatian",)
    assert imagenet_classes("lobster") == ("American lobster", "spiny lobster")
    assert imagenet_classes("yin_yang") == ()
    assert imagenet_classes("no such category") == ()
