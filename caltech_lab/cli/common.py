"""Shared parts of the commands: the common options, and the output of results.

Slow imports are made inside the functions, so that `--help` is fast.
"""

import inspect
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from caltech_lab.errors import LabError, shown_name
from caltech_lab.settings import from_folder, from_home, settings
from caltech_lab.storage.files import explain, json_text

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

app = typer.Typer(
    help="Image clustering, classification and retrieval on Caltech-101 or your own photos.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Listed here because the registry of backbones imports NumPy; a test keeps them equal.
BACKBONES = (
    "resnet50",
    "resnet50-v1",
    "resnet50-v2",
    "efficientnet_v2_s",
    "convnext_tiny",
    "vit_b_16",
    "efficientnet-lite0",
    "efficientnet-lite2",
    "pixels",
    "hog",
)
BACKBONE_PREFIXES = ("timm-", "clip-", "clip:")  # for models of other libraries
DATASETS = ("caltech101", "all+background", "report51", "drawn")


@dataclass
class Result:
    """The result of a command.

    Attributes
    ----------
    lines : list of str
        Output for people.
    data : dict
        Output for programs, JSON-serializable.
    wrote : list of Path
        Files and folders that were written or updated.
    lab : Lab, optional
        The lab that the command used.
    ok : bool
        Whether the command succeeded; otherwise it exits with 1.
    """

    lines: list[str]
    data: dict[str, Any]
    wrote: list[Path] = field(default_factory=list)
    lab: "Lab | None" = None
    ok: bool = True


def _one_of(names: tuple[str, ...]) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}.")
        return value

    return check


def _backbone(name: str | None) -> str | None:
    """Let models of other libraries pass: their registries take seconds to import."""
    if name is None or name.startswith(BACKBONE_PREFIXES):
        return name
    return _one_of((*BACKBONES, "timm-NAME", "clip-NAME", "clip:FOLDER"))(name)


def starting(*names: str) -> Callable[[str], list[str]]:
    """Return a function that completes the beginning of a name."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def one_of(*names: str) -> dict[str, Any]:
    """Return the options of a Typer parameter that accepts only these names, with completion."""
    return {"callback": _one_of(names), "autocompletion": starting(*names)}


COMMON: dict[str, Any] = {
    "dataset": Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(DATASETS)}, or a folder of your own.",
            autocompletion=starting(*DATASETS),
            metavar="NAME|FOLDER",
        ),
    ],
    "exclude": Annotated[
        list[str] | None,
        typer.Option(
            help="Photos to leave out of your folder, as in a .gitignore file: 'drafts/', '*.gif'. "
            "May be given several times.",
            metavar="PATTERN",
        ),
    ],
    "backbone": Annotated[
        str | None,
        typer.Option(
            help=f"What turns photos into vectors: {', '.join(BACKBONES)}; timm-NAME, a model of "
            "timm; or, to search by words too, clip-NAME or clip:FOLDER, a model of open_clip.",
            metavar="NAME",
            callback=_backbone,
            autocompletion=starting(*BACKBONES, *BACKBONE_PREFIXES),
        ),
    ],
    "outputs": Annotated[str | None, typer.Option(help="Output folder.", metavar="FOLDER")],
    "seed": Annotated[
        int | None, typer.Option(help="Seed of every random choice.", min=0, max=2**32 - 1)
    ],
}
SETTINGS = {name: f"CALTECH_LAB_{name.upper()}" for name in COMMON}


class Command(TyperCommand):
    """A command that explains how to pass a file whose name looks like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line, adding a hint to the error if there is such a file."""
        words = args[: args.index("--")] if "--" in args else [*args]
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if isinstance(told := getattr(error, "message", None), str):
                if file := next(filter(_is_file_like_option, words), ""):
                    hint = f"caltech-lab {self.name} -- {shlex.quote(file)}"
                    told = f"{told.rstrip('.')}. To name the file {file}, put -- before it: {hint}"
                setattr(error, "message", shown_name(told))  # noqa: B010  # a class of Typer
            raise


def _is_file_like_option(word: str) -> bool:
    try:
        return word.startswith("-") and Path(word).is_file()
    except (OSError, ValueError):  # too long for a name
        return False


def command(module: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a signature into a command of the app, with the common options and `--json`.

    The function of the same name in `caltech_lab.cli.<module>` runs the command. What it prints
    goes to standard error; what it returns is written to standard output.
    """
    return lambda signature: _command(module, signature)


def _command(module: str, signature: Callable[..., None]) -> Callable[..., None]:
    name = signature.__name__

    @wraps(signature)
    def run(**options: Any) -> None:
        as_json = options.pop("json")
        _set({option: options.pop(option) for option in COMMON})
        # Shells do not expand the ~ in --csv=~/file.
        options = {option: _from_home(value) for option, value in options.items()}
        try:
            with redirect_stdout(sys.stderr):
                carry_out = getattr(import_module(f"caltech_lab.cli.{module}"), name)
                result: Result = carry_out(**options)
        except (LabError, OSError, MemoryError) as error:
            sentence = _sentence(error)
            if as_json:
                _print_json({"command": name, "ok": False, "error": sentence})
            typer.echo(sentence, err=True)
            raise typer.Exit(1) from None
        if as_json:
            _print_json(_described(name, result))
        else:
            wrote = [f"Written    {shown(path)}" for path in result.wrote]
            typer.echo("\n".join(map(shown_name, [*result.lines, *wrote])))
        if not result.ok:
            raise typer.Exit(1)

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [p.replace(kind=keyword) for p in inspect.signature(signature).parameters.values()]
    common = [
        inspect.Parameter(option, keyword, default=None, annotation=annotation)
        for option, annotation in COMMON.items()
    ]
    flag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
    common.append(inspect.Parameter("json", keyword, default=False, annotation=flag))
    run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *common]}
    app.command(name, cls=Command)(run)
    return run


def _from_home(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_home(item) for item in value]
    return from_home(value) if isinstance(value, Path) else value


def _sentence(error: Exception) -> str:
    """Return a sentence that says what went wrong and what to do about it."""
    if isinstance(error, OSError):
        name = error.filename if isinstance(error.filename, str) else ""
        if name and Path(name).is_relative_to(settings().outputs):
            error = explain(error, Path(name))
    if isinstance(error, LabError):
        return shown_name(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory: take fewer photos."
    assert isinstance(error, OSError)
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    if not name:
        return shown_name(
            f"The system refused a request ({reason}): check the disk, and try again."
        )
    return shown_name(f"{name} cannot be used ({reason}): check the path and the disk.")


def use_gallery(name: str | None) -> None:
    """Let `--gallery` override the settings, in this process and in its child processes."""
    from caltech_lab.retrieval.stores import is_store

    if name is not None:
        os.environ["CALTECH_LAB_GALLERY"] = name
        settings.cache_clear()
    if not is_store(settings().gallery):
        raise typer.BadParameter(
            f"{settings().gallery!r} is not one of exact, hnsw, ivf-pq, milvus:ADDRESS."
        )


def _set(options: dict[str, Any]) -> None:
    """Let options override the settings, by setting environment variables."""
    options["exclude"] = "\n".join(options["exclude"] or []) or None
    given = {SETTINGS[name]: str(value) for name, value in options.items() if value is not None}
    os.environ.update(given)
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures are saved, never shown
    settings.cache_clear()


def _described(name: str, result: Result) -> dict[str, Any]:
    lab = result.lab
    about: dict[str, Any] = {"dataset": None, "backbone": None, "seed": None}
    if lab is not None:
        about = {
            "dataset": lab.photos.name,
            "backbone": lab.backbone.name,
            "seed": lab.seed,
        }
    wrote = [str(Path(path).absolute()) for path in result.wrote]
    return {"command": name, "ok": result.ok, **about, "wrote": wrote, "result": result.data}


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json_text(value, sys.stdout.encoding or "utf-8"))


def open_lab() -> "Lab":
    """Open the lab with the common options, and describe it on standard error."""
    from caltech_lab.lab import open_lab

    return open_lab()


def shown(path: Path) -> str:
    """Return a path relative to the current folder if it is inside it, otherwise absolute."""
    return str(from_folder(Path(path).absolute(), Path.cwd()))
