"""The widgets of the notebooks, each a thin view of a class that works without a browser."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caltech_lab.widgets.browsers import (
        CategoryBrowser,
        ClusterBrowser,
        ConfusionBrowser,
        MapBrowser,
        TreeBrowser,
    )
    from caltech_lab.widgets.demo import RetrievalDemo
    from caltech_lab.widgets.session import Answer, Query, SearchSession, Steering

__all__ = [
    "Answer",
    "CategoryBrowser",
    "ClusterBrowser",
    "ConfusionBrowser",
    "MapBrowser",
    "Query",
    "RetrievalDemo",
    "SearchSession",
    "Steering",
    "TreeBrowser",
]

_ROOMS = {
    "Answer": "session",
    "CategoryBrowser": "browsers",
    "ClusterBrowser": "browsers",
    "ConfusionBrowser": "browsers",
    "MapBrowser": "browsers",
    "Query": "session",
    "RetrievalDemo": "demo",
    "SearchSession": "session",
    "Steering": "session",
    "TreeBrowser": "browsers",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a session needs no ipywidgets.
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
