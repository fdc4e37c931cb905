"""Widgets shared by the demo and the browsers; their JavaScript is in the files of this folder."""

import base64
import logging
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipywidgets import HTML, Layout, VBox

from caltech_lab.datasets.formats import FORMATS_LISTED, SUFFIXES
from caltech_lab.embedding.decoding import MAX_BYTES, MAX_JPEG_PIXELS, MAX_PIXELS, MAX_SIDE
from caltech_lab.errors import LabError

HERE = Path(__file__).parent
WIDE = {"width": "100%"}
GROUND = "var(--jp-layout-color2, #eee)"
LIMITS = (
    f"{FORMATS_LISTED}, up to {MAX_BYTES / 2**20:.0f} MB, {MAX_PIXELS / 1e6:.0f} million pixels "
    f"({MAX_JPEG_PIXELS / 1e6:.0f} million for JPEG) and {MAX_SIDE:,} pixels per side"
)
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


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Make a callback of a panel show its errors, which JupyterLab does not show."""

    @wraps(callback)
    def safe(panel: Panel, *arguments: Any) -> None:
        try:
            callback(panel, *arguments)
        except LabError as error:
            panel.say(str(error), wrong=True)
        except Exception as error:
            log.exception("A callback of %s failed.", type(panel).__name__)
            panel.say(
                f"There was an unexpected error ({type(error).__name__}): try another photo.",
                wrong=True,
            )

    return safe


class DropZone(anywidget.AnyWidget):
    """An upload area for one photo, which is received in chunks.

    Parameters
    ----------
    take : callable
        Called with the name and the bytes of a complete file.
    refuse : callable
        Called with an error message when the upload fails.
    """

    _esm = HERE / "drop_zone.js"
    _css = HERE / "style.css"
    label = traitlets.Unicode("Drop a photo here, or click to choose one").tag(sync=True)
    limits = traitlets.Unicode(LIMITS).tag(sync=True)
    # Not every browser counts HEIC, AVIF and TIFF among the images.
    accept = traitlets.Unicode(",".join(["image/*", *sorted(SUFFIXES)])).tag(sync=True)
    max_bytes = traitlets.Int(MAX_BYTES).tag(sync=True)

    def __init__(self, take: Callable[[str, bytes], None], refuse: Callable[[str], None]) -> None:
        super().__init__(layout=WIDE)
        self._take, self._refuse, self._data = take, refuse, bytearray()
        self.on_msg(self._received)

    def _received(self, _: Any, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        name = str(content.get("name", "The file"))
        if content.get("kind") == "refused":
            size = content.get("size", 0) / 2**20
            self._refuse(
                f"{name} has {size:,.0f} MB, but the limit is {MAX_BYTES / 2**20:.0f} MB: "
                "save a smaller copy."
            )
        elif content.get("kind") == "unreadable":
            self._refuse(f"The browser could not read {name}: choose it again.")
        elif content.get("kind") == "chunk" and buffers:
            self._append(name, content["start"], content["last"], buffers[0])
        self.send({"kind": "done"})

    def _append(self, name: str, start: int, last: bool, chunk: Any) -> None:
        if start == 0:
            self._data = bytearray()
        if len(self._data) != start:  # the rest of an aborted upload
            return
        self._data += chunk
        if len(self._data) > MAX_BYTES:
            self._data = bytearray()
            self._refuse(f"{name} is larger than {MAX_BYTES / 2**20:.0f} MB: save a smaller copy.")
        elif last:
            data, self._data = bytes(self._data), bytearray()
            self._take(name, data)


class Picture(anywidget.AnyWidget):
    """An image with clicks, a crop box, outlined rectangles and a heat map.

    Coordinates are fractions of width and height, from the left and from the top.

    Attributes
    ----------
    box : list of float
        Left, top, right, bottom of the selected part; empty for none.
    heat : list of list of float
        Brightness, from 0 (dimmed) to 1, on a grid that fills `frame`; empty for none.
    marks : list of list of float
        Rectangles to outline: left, top, width, height.
    """

    _esm = HERE / "picture.js"
    _css = HERE / "style.css"
    src = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    max_height = traitlets.Unicode("none").tag(sync=True)
    clickable = traitlets.Bool(False).tag(sync=True)
    croppable = traitlets.Bool(False).tag(sync=True)
    box = traitlets.List(traitlets.Float()).tag(sync=True)
    frame = traitlets.List(traitlets.Float(), default_value=[0.0, 0.0, 1.0, 1.0]).tag(sync=True)
    heat = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
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
