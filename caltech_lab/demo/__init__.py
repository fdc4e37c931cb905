"""The retrieval demo: the search session, its queries and results, and the page."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caltech_lab.demo.answers import Answer, Query, SearchOptions
    from caltech_lab.demo.page import RetrievalDemo
    from caltech_lab.demo.session import SearchSession

__all__ = ["Answer", "Query", "RetrievalDemo", "SearchOptions", "SearchSession"]

_ROOMS = {
    "Answer": "answers",
    "Query": "answers",
    "RetrievalDemo": "page",
    "SearchSession": "session",
    "SearchOptions": "answers",
}


def __getattr__(name: str) -> Any:
    # Imported on first access, because a session does not need ipywidgets.
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
