"""Widgets shared by the browsers; their JavaScript is in the files of this folder."""

import base64
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, Protocol

import anywidget
import traitlets
from ipywidgets import HTML, Layout, VBox

from caltech_lab.errors import LabError

HERE = Path(__file__).parent
WIDE = {"width": "100%"}
log = logging.getLogger(__name__)


class Panel(VBox):  # type: ignore[misc]
    """A box of widgets with a status line for progress and errors.

    Attributes
    ----------
    status : HTML
        The status line, set by `say`.
    """

    def __init__(self) -> None:
        super().__init__(layout=Layout(width="100%", max_width="1240px"))
        self.status = HTML(layout=WIDE)

    def say(self, sentence: str, wrong: bool = False) -> None:
        """Show a sentence in the status line.

        Parameters
        ----------
        sentence : str
            Plain text.
        wrong : bool
            Whether it reports an error.
        """
        color = "var(--jp-error-color1, #b00020)" if wrong else "inherit"
        role = "alert" if wrong else "status"
        self.status.value = (
            f'<div role="{role}" style="line-height:1.4;overflow-wrap:anywhere;color:{color}">'
            f"{escape(sentence)}</div>"
        )


class Speaker(Protocol):
    """A widget with a status line."""

    def say(self, sentence: str, wrong: bool = False) -> None:
        """Show a sentence in the status line."""


@contextmanager
def errors_shown(view: Speaker, what: str) -> Iterator[None]:
    """Show errors of a block in the status line of a widget, because JupyterLab shows none.

    Parameters
    ----------
    view : Speaker
        The widget.
    what : str
        What is done in the block, for the log of unexpected errors.
    """
    try:
        yield
    except LabError as error:
        view.say(str(error), wrong=True)
    except Exception as error:
        log.exception("%s failed.", what)
        view.say(
            f"There was an unexpected error ({type(error).__name__}): try again, or reload the "
            "page.",
            wrong=True,
        )


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Make a callback of a panel show its errors; see `errors_shown`."""

    @wraps(callback)
    def safe(panel: Panel, *arguments: Any) -> None:
        with errors_shown(panel, f"A callback of {type(panel).__name__}"):
            callback(panel, *arguments)

    return safe


class Picture(anywidget.AnyWidget):
    """An image with clicks and outlined rectangles.

    Coordinates are fractions of width and height, from the left and from the top.

    Attributes
    ----------
    marks : list of list of float
        Rectangles to outline: left, top, width, height.
    """

    _esm = HERE / "picture.js"
    _css = HERE / "style.css"
    src = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    max_height = traitlets.Unicode("none").tag(sync=True)
    clickable = traitlets.Bool(False).tag(sync=True)
    marks = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)

    def on_click(self, callback: Callable[[float, float], None]) -> None:
        """Call a function with the coordinates of each click."""

        def received(_: Any, content: dict[str, Any], __: Any) -> None:
            if content.get("kind") == "click":
                callback(float(content["x"]), float(content["y"]))

        self.on_msg(received)


class PhotoGrid(anywidget.AnyWidget):
    """A grid of photos with captions and buttons.

    Parameters
    ----------
    actions : sequence of tuple of str
        Name, label and tooltip of each action; the first is triggered by clicking the photo, the
        others by buttons.
    act : callable, optional
        Called with the name of the action and the row of the photo.
    tile : int
        Minimum width of a photo, in pixels.
    """

    _esm = HERE / "photo_grid.js"
    _css = HERE / "style.css"
    items = traitlets.List(traitlets.Dict()).tag(sync=True)
    actions = traitlets.List(traitlets.Dict()).tag(sync=True)
    tile = traitlets.Int(116).tag(sync=True)

    def __init__(
        self,
        actions: Sequence[tuple[str, str, str]] = (),
        act: Callable[[str, int], None] | None = None,
        tile: int = 116,
    ) -> None:
        named = [dict(zip(("name", "label", "title"), action, strict=True)) for action in actions]
        super().__init__(actions=named, tile=tile, layout=WIDE)
        self._names = {action[0] for action in actions}
        self._act = act
        self.on_msg(self._received)

    def _received(self, _: Any, content: dict[str, Any], __: Any) -> None:
        shown = {item["row"] for item in self.items}
        action, row = str(content.get("action")), int(content.get("row", -1))
        if self._act is not None and action in self._names and row in shown:
            self._act(action, row)


def data_uri(picture: bytes | None) -> str:
    """Return the data URI of a JPEG or PNG; empty for None."""
    if not picture:
        return ""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
