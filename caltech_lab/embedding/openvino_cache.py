"""Cache of networks converted to OpenVINO, in `outputs/networks`.

Tracing and converting a network takes seconds and needs PyTorch; reading the converted network and
compiling it takes half a second. One file serves every precision and batch size.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from caltech_lab.embedding.backbones import Backbone
from caltech_lab.errors import CacheError
from caltech_lab.settings import settings
from caltech_lab.storage.files import (
    lock,
    make_way,
    read_json,
    sha256_of,
    write_atomically,
    write_json,
)

# Source files that networks are built from; when one changes, networks are converted again.
SOURCES = ("architectures.py", "efficientnet_lite.py")


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    The telemetry reports each import and conversion, and stores an identifier in the home folder.
    OpenVINO works without it.
    """
    sys.modules.setdefault("openvino_telemetry", cast("Any", None))  # as if it were not installed
    import openvino

    return openvino


def kept_network(backbone: Backbone, convert: Callable[[], Any]) -> Any:
    """Load a converted network from the cache, or convert it and save it.

    Parameters
    ----------
    backbone : Backbone
        Backbone of the network. A network that is built by a function of a notebook is not
        cached, because the name of the function does not identify the network.
    convert : callable
        Returns the `openvino.Model`.

    Returns
    -------
    openvino.Model
        With a dynamic first dimension.
    """
    key = _key(backbone)
    if key is None:
        return convert()
    network = _digest({name: key[name] for name in ("build", "size")})
    record = settings().outputs / "networks" / f"{network}-{_digest(key)}.json"
    model = None
    with suppress(CacheError, OSError), lock(record):
        model = _read(record)
        if model is None:
            model = convert()
            with suppress(CacheError):  # e.g. a full disk: it is converted again the next time
                _keep(record, model)
                # Read back, because the saved model may round differently from the converted one.
                model = _read(record)
    return convert() if model is None else model


def _read(record: Path) -> Any:
    """Return the saved model, or None if it is missing or its files have changed."""
    files = [record.with_suffix(".xml"), record.with_suffix(".bin")]
    if not all(file.is_file() for file in (record, *files)):
        return None
    try:
        if read_json(record) == {file.name: sha256_of(file) for file in files}:
            return import_openvino().Core().read_model(files[0])
    except (CacheError, RuntimeError):  # damaged, or from another version of OpenVINO
        pass
    return None


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def _keep(record: Path, model: Any) -> None:
    for older in record.parent.glob(f"{record.stem.partition('-')[0]}-*"):
        if older.is_file():
            older.unlink()
    for suffix in (".json", ".xml", ".bin"):
        make_way(record.with_suffix(suffix))
    weights = record.with_suffix(".bin")
    with write_atomically(record.with_suffix(".xml")) as graph, write_atomically(weights) as data:
        # Half precision cannot represent the variances of the batch normalization.
        import_openvino().save_model(model, graph, compress_to_fp16=False)
        graph.with_suffix(".bin").rename(data)
    files = (record.with_suffix(".xml"), weights)
    write_json(record, {file.name: sha256_of(file) for file in files})


def _key(backbone: Backbone) -> dict[str, Any] | None:
    """Return everything that the converted network depends on; None if that is not known."""
    try:
        build = _described(backbone.build)
    except ValueError:
        return None
    package = Path(__file__).parent
    return {
        "build": build,
        "size": backbone.size,
        "weights": backbone.weights(),
        "code": {name: sha256_of(package / name) for name in SOURCES},
        "versions": {name: metadata.version(name) for name in ("openvino", "torch", "torchvision")},
    }


def _described(part: Any) -> str:
    """Describe a function of the package, or a partial of one, by its name and arguments."""
    if isinstance(part, partial):
        given = [*part.args, *(value for _, value in sorted(part.keywords.items()))]
        return f"{_described(part.func)}({', '.join(map(_described, given))})"
    if is_dataclass(part) and not isinstance(part, type):
        values = (getattr(part, field.name) for field in fields(part))
        return f"{type(part).__qualname__}({', '.join(map(_described, values))})"
    if isinstance(part, str | int | float | bool | None):
        return repr(part)
    module, name = getattr(part, "__module__", ""), getattr(part, "__qualname__", "<unknown>")
    if not module.startswith("caltech_lab.") or "<" in name:
        raise ValueError(f"{part!r} cannot be described.")
    return f"{module}.{name}"
