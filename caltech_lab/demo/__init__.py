"""The retrieval demo: the search session, its queries and results, and the page."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caltech_lab.demo.encoder import Encoder
    from caltech_lab.demo.explainer import Explainer
    from caltech_lab.demo.page import RetrievalDemo, open_page
    from caltech_lab.demo.results import Part, Query, Results, SearchOptions
    from caltech_lab.demo.searcher import Searcher
    from caltech_lab.demo.session import SearchSession

__all__ = [
    "Encoder",
    "Explainer",
    "Part",
    "Query",
    "Results",
    "RetrievalDemo",
    "SearchOptions",
    "SearchSession",
    "Searcher",
    "open_page",
]

_ROOMS = {
    "Encoder": "encoder",
    "Explainer": "explainer",
    "Part": "results",
    "Query": "results",
    "Results": "results",
    "RetrievalDemo": "page",
    "SearchSession": "session",
    "Searcher": "searcher",
    "SearchOptions": "results",
    "open_page": "page",
}


def __getattr__(name: str) -> Any:
    # Imported on first access, because a session does not need ipywidgets.
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
