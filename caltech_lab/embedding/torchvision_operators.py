"""Makes `import torchvision` work with a PyTorch build that it was not compiled for.

PyPI's torchvision is compiled against the CUDA build of PyTorch. With a CPU-only PyTorch, its
library of operators cannot be loaded, and `import torchvision` fails with "operator
torchvision::nms does not exist", although the networks need none of them. The import only needs
the *schemas* of two operators, so `define_missing_operators` declares these if the library cannot
be loaded. If the builds match, it does nothing.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch

SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def define_missing_operators() -> list[str]:
    """Declare the operators that torchvision cannot load; call this before importing it.

    Returns
    -------
    list of str
        The declared operators; empty if torchvision's library can be loaded, or if torchvision is
        already imported or not installed.
    """
    spec = None if "torchvision" in sys.modules else find_spec("torchvision")
    if spec is None or spec.origin is None:
        return []
    # torchvision loads the same file again, which then costs nothing.
    package = Path(spec.origin).parent
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
