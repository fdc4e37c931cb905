"""Interactive browsers for the notebooks; each is a class that also works without a browser."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caltech_lab.widgets.category_browsers import CategoryBrowser, ConfusionBrowser
    from caltech_lab.widgets.cluster_browsers import ClusterBrowser, TreeBrowser
    from caltech_lab.widgets.label_review import LabelReview
    from caltech_lab.widgets.map_browser import MapBrowser

__all__ = [
    "CategoryBrowser",
    "ClusterBrowser",
    "ConfusionBrowser",
    "LabelReview",
    "MapBrowser",
    "TreeBrowser",
]

_ROOMS = {
    "CategoryBrowser": "category_browsers",
    "ClusterBrowser": "cluster_browsers",
    "ConfusionBrowser": "category_browsers",
    "LabelReview": "label_review",
    "MapBrowser": "map_browser",
    "TreeBrowser": "cluster_browsers",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, because other modules of this package need no ipywidgets.
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
