"""Cache for all results that are computed from embeddings.

An entry is a file with a readable name, and next to it a `.json` file with everything that the
entry depends on: embeddings, arguments, code and library versions. An entry is loaded only if all
of these are unchanged and the file has the recorded sha256.
"""

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import pandas as pd

from caltech_lab.errors import CacheError
from caltech_lab.storage.arrays import load_array, save_array
from caltech_lab.storage.files import lock, make_way, read_json, set_aside, sha256_of, write_json
from caltech_lab.storage.memory import release
from caltech_lab.storage.models import load_model, save_model
from caltech_lab.storage.tables import load_table, save_table

PACKAGE = Path(__file__).resolve().parents[1]
# Infrastructure, which cannot affect results.
PLUMBING = ("caltech_lab.storage", "caltech_lab.settings", "caltech_lab.errors")
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "faiss": "faiss-cpu",
                 "skimage": "scikit-image", "sklearn": "scikit-learn"}  # fmt: skip
FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Path, Any], None]]] = {
    ".json": (read_json, write_json),
    ".npy": (load_array, save_array),
    ".parquet": (load_table, save_table),
    ".skops": (load_model, save_model),
}


@dataclass(frozen=True)
class Cache:
    """Cached results for one set of embeddings, as files in one folder.

    Parameters
    ----------
    folder : Path
        Folder of the entries.
    made_from : mapping
        Common part of all keys, JSON-serializable: the embeddings, their photos and the seed.
    """

    folder: Path
    made_from: Mapping[str, Any]

    def get(self, name: str, make: Callable[..., Any], /, *args: Any, **parameters: Any) -> Any:
        """Load an entry, or compute and save it.

        Parameters
        ----------
        name : str
            Path of its file in the folder: an estimator as `.skops`, an array as `.npy`, a table as
            `.parquet` or a JSON value as `.json`.
        make : callable
            Computes the entry; its code and the libraries that it uses are part of the key.
        *args
            Passed to `make`. Arrays, tables, estimators, embeddings and plain values are part of
            the key by their content, functions by their code, other objects by their type.
        **parameters
            Passed to `make`; JSON-serializable, and part of the key by name.

        Returns
        -------
        BaseEstimator, ndarray, DataFrame or JSON value
            Result of `make`, computed or loaded. A damaged entry is reported, renamed to
            `….damaged` and computed again.

        Raises
        ------
        CacheError
            When the entry does not exist and the folder is not writable.
        """
        path, key = self.folder / name, self.key(make, args, parameters)
        load, save = FORMATS[path.suffix]
        if _is_current(path, key):  # the usual case, and the only one in a read-only folder
            with suppress(CacheError):
                return load(path)
        with lock(path):
            if path.is_file() and _read_record(path).get("made_from") == key:
                if _is_current(path, key):  # another process has computed it meanwhile
                    with suppress(CacheError):
                        return load(path)
                print(f"{path} is damaged: it is renamed to {set_aside(path).name} and rebuilt.")
            make_way(path)
            if (record := _record(path)).exists() and not _read_record(path)["made_from"]:
                print(f"{record} is damaged: it is renamed to {set_aside(record).name}.")
            record.unlink(missing_ok=True)
            made = make(*args, **parameters)
            save(path, made)
            release()
            write_json(_record(path), {"made_from": key, "sha256": sha256_of(path)})
        # JSON turns tuples into lists; loading makes the first call return the same as later ones.
        return load(path) if path.suffix == ".json" else made

    def peek(self, name: str) -> Any:
        """Return an entry for these embeddings with any parameters; None if there is none."""
        path = self.folder / name
        made_from = _read_record(path)["made_from"]
        if not made_from or not self.made_from.items() <= made_from.items():
            return None
        with suppress(CacheError):
            return FORMATS[path.suffix][0](path) if _is_current(path, made_from) else None
        return None

    def key(
        self, make: Callable[..., Any], args: Sequence[Any], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return everything that an entry depends on.

        Parameters
        ----------
        make : callable
            Computes the entry.
        args : sequence
            Its positional arguments.
        parameters : mapping of str
            Its keyword arguments, JSON-serializable.

        Returns
        -------
        dict
            `made_from`, a hash of the arguments, the parameters, and hashes of the code with the
            versions of the libraries, as they are after a JSON round trip.
        """
        arguments = hashlib.sha256()
        _add_to(arguments, make)
        _add_to(arguments, args)
        parts = {
            **self.made_from,
            "arguments": arguments.hexdigest()[:16],
            "parameters": dict(parameters),
            **provenance(make),
        }
        key: dict[str, Any] = json.loads(json.dumps(parts, default=np.generic.item))
        return key


def _add_to(digest: Any, value: Any) -> None:
    """Add an argument to a hash, each part with its type and length."""
    digest.update(f"<{type(value).__qualname__}".encode())
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, np.ndarray):
        digest.update(repr(value.tolist()).encode())
    elif isinstance(value, pd.DataFrame):
        _add_to(digest, {str(name): column for name, column in value.items()})
    elif isinstance(value, pd.Series) and value.dtype == object:  # names that are no Unicode
        _add_to(digest, value.tolist())
    elif isinstance(value, pd.Series):
        digest.update(pd.util.hash_pandas_object(value).to_numpy().data)
    elif isinstance(value, Mapping):
        _add_to(digest, [part for item in value.items() for part in item])
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}".encode())
        for part in value:
            _add_to(digest, part)
    elif isinstance(value, str | bytes | int | float | complex | np.generic | Path | None):
        digest.update(repr(value).encode())
    elif isinstance(value, partial):
        _add_to(digest, [value.func, value.args, value.keywords])
    elif inspect.ismethod(value):
        _add_to(digest, [value.__func__, value.__self__])
    elif inspect.isroutine(value):
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
    elif _is_estimator(value):  # its parameters, and what it has learned
        _add_to(digest, dict(sorted(vars(value).items())))
    elif is_dataclass(value) and not isinstance(value, type):  # embeddings among them
        _add_to(digest, {field.name: getattr(value, field.name) for field in fields(value)})
    digest.update(b">")


def _is_estimator(value: Any) -> bool:
    # Where nobody has imported scikit-learn, which takes seconds, there is no estimator.
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(value, base.BaseEstimator)


def _is_current(path: Path, key: Mapping[str, Any]) -> bool:
    """Return whether an entry has this key and the recorded sha256."""
    record = _read_record(path)
    try:
        return bool(record["made_from"] == key and sha256_of(path) == record["sha256"])
    except OSError:
        return False


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_record(path: Path) -> dict[str, Any]:
    """Return `made_from` and `sha256` of an entry; both empty without a valid record."""
    with suppress(CacheError, OSError):
        record = read_json(_record(path))
        if isinstance(record, dict) and isinstance(record.get("made_from"), dict):
            return {"made_from": record["made_from"], "sha256": record.get("sha256")}
    return {"made_from": {}, "sha256": None}


# ---- code and libraries of an entry -------------------------------------------------------------


def provenance(make: Callable[..., Any]) -> dict[str, Any]:
    """Return a hash of the code behind a function, and the versions of the libraries it uses.

    For a function of this package, the hash covers its module and all modules of the package that
    this imports, directly or indirectly, except `PLUMBING`. For other functions, such as those of
    a notebook, it covers their source, the functions and plain values of the same module that they
    use, and the modules of the other names in them. Comments and docstrings of the package are
    ignored.
    """
    roots, texts, libraries = set[str](), list[str](), set[str]()
    waiting, seen = [*_parts(make)], set[int]()
    while waiting:
        function = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        module = getattr(function, "__module__", None) or ""
        if _is_ours(module):
            roots.add(module)
            continue
        texts.append(_text(function))
        for name, value in _named(function):
            if inspect.isroutine(value) and value.__module__ == module:
                waiting.append(value)
            elif isinstance(value, str | int | float | tuple | None):
                texts.append(f"{name} = {value!r}")
            elif behind := _module_of(value):
                (roots if _is_ours(behind) else libraries).add(behind)
        roots |= {name for name in _imported(function) if _is_ours(name)}
    modules = _closure(frozenset(roots))
    digest = hashlib.sha256("\n".join(sorted(texts)).encode())
    libraries = {name.partition(".")[0] for name in libraries}
    for name in sorted(modules):
        code, _, used = _read_module(name)
        digest.update(code.encode())
        libraries |= used
    versions = {name: version for name in sorted(libraries) if (version := _version(name))}
    return {"code": digest.hexdigest()[:16], "libraries": versions}


def _parts(make: Any) -> Iterator[Any]:
    """Yield the function itself, or the functions in a `partial`."""
    if isinstance(make, partial):
        for part in (make.func, *make.args, *make.keywords.values()):
            if inspect.isroutine(part) or isinstance(part, partial):
                yield from _parts(part)
    else:
        yield inspect.unwrap(make) if inspect.isroutine(make) else type(make)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "caltech_lab" and not module.startswith(PLUMBING)


def _text(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # from a console, or compiled
        code = getattr(function, "__code__", None)
        return _compiled(code) if code else str(function.__qualname__)


def _compiled(code: CodeType) -> str:
    constants = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _named(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each global and closure variable that a function uses."""
    code = getattr(function, "__code__", None)
    if code is not None:
        values = function.__globals__ | inspect.getclosurevars(function).nonlocals
        yield from ((name, values[name]) for name in sorted(_names(code)) if name in values)


def _module_of(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return "" if name in (None, "builtins", "__main__") else str(name)


def _imported(function: Any) -> set[str]:
    """Return the modules that are imported inside a function."""
    code = getattr(function, "__code__", None)
    return {name for name in _names(code) if "." in name} if code is not None else set()


def _names(code: CodeType) -> set[str]:
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*inner)


def _closure(roots: frozenset[str]) -> set[str]:
    found: set[str] = set()
    waiting = [*roots]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _read_module(name)[1]
    return found


@cache
def _read_module(name: str) -> tuple[str, frozenset[str], frozenset[str]]:
    """Return a module's code without comments and docstrings, and the modules that it imports.

    Modules of this package and other libraries are separate; imports for type checkers are ignored.
    """
    path = PACKAGE.joinpath(*name.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return "", frozenset(), frozenset()
    tree = _Bare().visit(ast.parse(path.read_text(encoding="utf-8")))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            imported |= {f"{node.module}.{alias.name}" for alias in node.names if
                         _is_module(f"{node.module}.{alias.name}")}  # fmt: skip
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    ours = {module for module in imported if _is_ours(module)}
    others = {module.partition(".")[0] for module in imported} - {"caltech_lab"}
    return ast.dump(tree), frozenset(ours), frozenset(others - sys.stdlib_module_names)


def _is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return name.startswith("caltech_lab.") and (path.is_dir() or path.with_suffix(".py").is_file())


class _Bare(ast.NodeTransformer):
    """Removes docstrings, and imports for type checkers."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


@cache
def _version(library: str) -> str | None:
    try:
        return metadata.version(DISTRIBUTIONS.get(library, library))
    except metadata.PackageNotFoundError:
        return None
