"""Lets `import torchvision` work beside a PyTorch build that its compiled part was not made for.

PyPI's torchvision is compiled against the CUDA build of PyTorch. Beside a CPU-only PyTorch its
library of operators cannot be loaded, and `import torchvision` then stops with "operator
torchvision::nms does not exist", although the networks need none of them. All that the import
asks for are the *schemas* of two operators, so `define_missing_operators` declares those, and only
where the library could not be loaded. Where the builds match, nothing is touched.

`install` puts this in front of every `import torchvision`, a notebook's own included, without
importing PyTorch before somebody needs it.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def define_missing_operators(package: Path) -> list[str]:
    """Declare the operators that the installed torchvision cannot bring itself.

    Parameters
    ----------
    package : Path
        The folder of the installed torchvision.

    Returns
    -------
    list of str
        The operators declared here; empty where torchvision's own library loads.
    """
    import torch

    # torchvision loads the same file again in a moment, which then costs nothing.
    for library in sorted([*package.glob("_C*.so"), *package.glob("_C*.pyd")]):
        try:
            torch.ops.load_library(str(library))
        except (OSError, RuntimeError):
            continue
        return []
    missing = [name for name in SCHEMAS if not torch._C._jit_get_schemas_for_operator(name)]
    for name in missing:
        torch.library.define(name, SCHEMAS[name])
    return missing


class _BeforeTorchvision:
    """A finder that finds nothing, but is asked before torchvision is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)  # once is enough
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.origin:
                define_missing_operators(Path(spec.origin).parent)
        return None


def install() -> None:
    """Have `define_missing_operators` run before the first `import torchvision`."""
    waiting = any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path)
    if "torchvision" not in sys.modules and not waiting:
        sys.meta_path.insert(0, _BeforeTorchvision())
