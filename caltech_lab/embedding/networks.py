"""Networks as OpenVINO reads them, kept in `outputs/networks` so that the next start is short.

To trace a network and convert it takes seconds, and PyTorch; to read what came of it and compile
it takes half of one. A network is kept without a precision or a batch: one file serves them all.
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

# What a network is built by, beside its weights: an edit of these makes it anew.
SOURCES = ("backbones.py", "efficientnet_lite.py", "views.py")


def import_openvino() -> Any:
    """Import OpenVINO without the part that reports each import and conversion to its makers.

    That part also keeps an identifier in the home folder. OpenVINO goes on without it.
    """
    sys.modules.setdefault("openvino_telemetry", cast("Any", None))  # as if it were not installed
    import openvino

    return openvino


def kept_network(backbone: Backbone, convert: Callable[[], Any]) -> Any:
    """Read a network as it was kept, or convert it and keep it.

    Parameters
    ----------
    backbone : Backbone
        Whose network. One that is built by a function of a notebook is not kept: its name does
        not tell what it builds.
    convert : callable
        Makes the `openvino.Model`.

    Returns
    -------
    openvino.Model
        With a first dimension of any size.
    """
    key = _key(backbone)
    if key is None:
        return convert()
    network = _digest({name: key[name] for name in ("build", "size")})
    record = settings().outputs / "networks" / f"{network}-{_digest(key)}.json"
    model = None
    with suppress(OSError), lock(record):
        model = _read(record)
        if model is None:
            model = convert()
            with suppress(CacheError):  # as on a full disk: it is converted again the next time
                _keep(record, model)
                # Read back, since what is read may round otherwise than what was converted.
                model = _read(record)
    return convert() if model is None else model


def _read(record: Path) -> Any:
    """Return the model, or None where there is none or its files are not the ones written."""
    files = [record.with_suffix(".xml"), record.with_suffix(".bin")]
    if not all(file.is_file() for file in (record, *files)):
        return None
    try:
        if read_json(record) == {file.name: sha256_of(file) for file in files}:
            return import_openvino().Core().read_model(files[0])
    except (CacheError, RuntimeError):  # garbled, or of an OpenVINO that is not this one
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
        # Half precision would round the batch norms' variances, which it cannot hold.
        import_openvino().save_model(model, graph, compress_to_fp16=False)
        graph.with_suffix(".bin").rename(data)
    files = (record.with_suffix(".xml"), weights)
    write_json(record, {file.name: sha256_of(file) for file in files})


def _key(backbone: Backbone) -> dict[str, Any] | None:
    """Return all that the converted network depends on; None where that cannot be told."""
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
    """Describe a function of the package, or a partial one, by its name and its arguments."""
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
