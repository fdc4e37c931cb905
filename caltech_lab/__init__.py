"""Image clustering, classification and retrieval, demonstrated on Caltech-101.

Start with `open_lab()`; the notebooks show how to use it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caltech_lab.lab import Lab, open_lab

__all__ = ["Lab", "open_lab"]
__version__ = "1.0.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `import caltech_lab` is fast.
    if name in __all__:
        return getattr(import_module("caltech_lab.lab"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
