"""One cache for everything that is made from embeddings.

An entry is a file, named so that a reader knows it, and beside it a `.json` that says what it was
made from: the embeddings, the arguments, the code and the libraries. It is loaded only when all of
these are as they were and the file has the bytes that were written.
"""

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import pandas as pd

from caltech_lab.errors import CacheError
from caltech_lab.storage.files import (
    load_array,
    load_model,
    load_table,
    lock,
    read_json,
    save_array,
    save_model,
    save_table,
    set_aside,
    sha256_of,
    write_json,
)
from caltech_lab.storage.memory import release

PACKAGE = Path(__file__).resolve().parents[1]
# They carry results about, and decide none.
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
    """What was made from one set of embeddings, in files below one folder.

    Parameters
    ----------
    folder : Path
        Where the entries are.
    made_from : mapping
        What all of them depend on, in terms of JSON: the embeddings' sha256 and the seed.
    """

    folder: Path
    made_from: Mapping[str, Any]

    def get(self, name: str, make: Callable[..., Any], /, *args: Any, **parameters: Any) -> Any:
        """Load an entry, or make it and keep it.

        Parameters
        ----------
        name : str
            Its file below the folder: an estimator as `.skops`, an array as `.npy`, a table as
            `.parquet` or plain values as `.json`.
        make : callable
            Makes it; its code and the libraries that it uses are part of the key.
        *args
            Given to `make`; arrays and tables are part of the key by a hash of what is in them,
            other objects by their description.
        **parameters
            Given to `make`, and part of the key by name, in terms of JSON.

        Returns
        -------
        BaseEstimator, ndarray, DataFrame or values of JSON
            What `make` returned, now or then. A damaged entry is named, set aside as `….damaged`
            and made again.
        """
        path, key = self.folder / name, self.key(make, args, parameters)
        load, save = FORMATS[path.suffix]
        with lock(path):
            if self._is_kept(path, key):
                try:
                    return load(path)
                except CacheError as error:
                    print(f"{error} It is made again; the old file is {set_aside(path).name}.")
            _record(path).unlink(missing_ok=True)
            made = make(*args, **parameters)
            save(path, made)
            release()
            write_json(_record(path), {"made_from": key, "sha256": sha256_of(path)})
            return made

    def peek(self, name: str) -> Any:
        """Return an entry made from these embeddings, whatever its parameters; None without one."""
        path = self.folder / name
        record = _read_record(path)
        made_from = record.get("made_from", {})
        if not made_from or not self.made_from.items() <= made_from.items():
            return None
        try:
            return FORMATS[path.suffix][0](path) if sha256_of(path) == record["sha256"] else None
        except (CacheError, OSError):
            return None

    def key(
        self, make: Callable[..., Any], args: Sequence[Any], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return all that an entry depends on, as JSON gives it back."""
        arguments = hashlib.sha256()
        for arg in args:
            _add_to(arguments, arg)
        parts = {
            **self.made_from,
            "arguments": arguments.hexdigest()[:16],
            "parameters": dict(parameters),
            **provenance(make),
        }
        key: dict[str, Any] = json.loads(json.dumps(parts))
        return key

    def _is_kept(self, path: Path, key: Mapping[str, Any]) -> bool:
        """Tell whether an entry is there and current; one with other bytes is set aside."""
        record = _read_record(path)
        if not path.is_file() or record.get("made_from") != key:
            return False
        if sha256_of(path) == record.get("sha256"):
            return True
        aside = set_aside(path)
        print(f"{path} is damaged. It is made again; the old file is {aside.name}.")
        return False


def _add_to(digest: Any, value: Any) -> None:
    """Add what an argument is to a hash."""
    digest.update(type(value).__qualname__.encode())
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, pd.DataFrame | pd.Series):
        digest.update(pd.util.hash_pandas_object(value).to_numpy().data)
        digest.update(repr(list(value)).encode() if isinstance(value, pd.DataFrame) else b"")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(repr(key).encode())
            _add_to(digest, part)
    elif isinstance(value, list | tuple):
        for part in value:
            _add_to(digest, part)
    elif hasattr(value, "identity"):  # embeddings
        digest.update(json.dumps(value.identity, sort_keys=True).encode())
    elif hasattr(value, "get_params") or isinstance(value, str | int | float | None):
        digest.update(repr(value).encode())


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_json(_record(path))
    except (CacheError, OSError):
        return {}
    return record if isinstance(record, dict) else {}


# ---- what code and libraries make an entry ------------------------------------------------------


def provenance(make: Callable[..., Any]) -> dict[str, Any]:
    """Return a hash of the code behind a function, and the versions of the libraries it uses.

    Of a function of this package it is the code of its module and of all modules that this one
    imports, `PLUMBING` left out; of a function written elsewhere, such as a notebook's, its own
    text and the modules of the names in it. Comments and docstrings do not count.
    """
    roots, texts = set(), []
    for function in _parts(make):
        module = getattr(function, "__module__", None) or ""
        if _is_ours(module):
            roots.add(module)
        else:
            texts.append(_text(function))
            roots |= {name for name in _names_behind(function) if _is_ours(name)}
    modules = _closure(frozenset(roots))
    digest = hashlib.sha256("\n".join(sorted(texts)).encode())
    libraries: set[str] = set()
    for name in sorted(modules):
        code, _, used = _read_module(name)
        digest.update(code.encode())
        libraries |= used
    for function in _parts(make):
        libraries |= {n.partition(".")[0] for n in _names_behind(function) if not _is_ours(n)}
    versions = {name: version for name in sorted(libraries) if (version := _version(name))}
    return {"code": digest.hexdigest()[:16], "libraries": versions}


def _parts(make: Callable[..., Any]) -> Iterator[Any]:
    """Yield the function itself, or what a `partial` is made of."""
    if isinstance(make, partial):
        yield from _parts(make.func)
        for part in (*make.args, *make.keywords.values()):
            if inspect.isroutine(part) or isinstance(part, partial):
                yield from _parts(part)
    else:
        yield inspect.unwrap(make) if inspect.isroutine(make) else type(make)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "caltech_lab" and not module.startswith(PLUMBING)


def _text(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed into a console, or compiled
        code = getattr(function, "__code__", None)
        return _compiled(code) if code else str(function.__qualname__)


def _compiled(code: CodeType) -> str:
    constants = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _names_behind(function: Any) -> set[str]:
    """Return the modules of the objects that a function written elsewhere names."""
    code = getattr(function, "__code__", None)
    if code is None or _is_ours(function.__module__ or ""):
        return set()
    found = set()
    for name in _names(code):
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            found.add(value.__name__)
        elif value is not None and getattr(value, "__module__", None):
            found.add(value.__module__)
    return found - {"__main__", "builtins"}


def _names(code: CodeType) -> set[str]:
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return {*code.co_names}.union(*inner)


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
    """Return a module's code without comments and docstrings, and what of ours and others' it uses.

    Imports for type checkers alone do not count.
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
    """Drops docstrings, and imports that only a type checker sees."""

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
