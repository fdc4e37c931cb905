"""Image clustering, classification and retrieval, walked through with Caltech-101.

`open_lab()` is the front door; see the notebooks for what stands behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caltech_lab.lab import Lab, open_lab

__all__ = ["Lab", "open_lab"]
__version__ = "1.0.0"


def __getattr__(name: str) -> Any:
    # Loaded when first asked for, so that `import caltech_lab` takes no time.
    if name in __all__:
        return getattr(import_module("caltech_lab.lab"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
