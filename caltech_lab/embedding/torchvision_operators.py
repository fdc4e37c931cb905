"""Lets `import torchvision` work beside a PyTorch build that its compiled part was not made for.

PyPI's torchvision is compiled against the CUDA build of PyTorch. Beside a CPU-only PyTorch its
library of operators cannot be loaded, and `import torchvision` then stops with "operator
torchvision::nms does not exist", although the networks need none of them. All that the import
asks for are the *schemas* of two operators, so `define_missing_operators` declares those, and only
where the library could not be loaded. Where the builds match, nothing is touched.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def define_missing_operators() -> list[str]:
    """Declare the operators that torchvision cannot bring itself; call it before its import.

    Returns
    -------
    list of str
        The operators declared here; empty where torchvision's own library loads, where it is
        imported already, and where it is not installed.
    """
    spec = None if "torchvision" in sys.modules else find_spec("torchvision")
    if spec is None or spec.origin is None:
        return []
    import torch

    # torchvision loads the same file again in a moment, which then costs nothing.
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
