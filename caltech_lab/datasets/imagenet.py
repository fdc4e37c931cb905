"""Which categories of Caltech-101 are among the 1,000 ImageNet classes.

The networks were trained on photos with these labels. `imagenet.csv` lists the classes of each
category, by the names that torchvision uses. A class belongs to a category if it names the same
thing, if one is a kind of the other (`wallaby` and `kangaroo`), or if the category is a part of it
(`cougar_face`). The list was compiled by hand from the names, without looking at photos or results.
"""

from functools import cache
from importlib.resources import files

import pandas as pd


def imagenet_classes(category: str) -> tuple[str, ...]:
    """Return the ImageNet classes of a category.

    Parameters
    ----------
    category : str
        A category of Caltech-101; any other name has no classes.

    Returns
    -------
    tuple of str
        Names of classes; empty if the network was not trained on this category.

    Examples
    --------
    >>> imagenet_classes("lobster")
    ('American lobster', 'spiny lobster')
    >>> imagenet_classes("octopus")
    ()
    """
    return _read_classes().get(category, ())


@cache
def _read_classes() -> dict[str, tuple[str, ...]]:
    with (files("caltech_lab.datasets") / "imagenet.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, keep_default_na=False)
    return {
        category: tuple(classes.split("; ")) if classes else ()
        for category, classes in table.itertuples(index=False)
    }
