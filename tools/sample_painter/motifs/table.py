"""The table of motifs, and the decorator that registers painters."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tools.sample_painter.brush import Brush, Chance, Color

Painter = Callable[[Brush, Chance], None]

TURN = 2 * math.pi
BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
CLEAR: Color = (0, 0, 0, 0)


@dataclass(frozen=True)
class Motif:
    """A category: its painter and its scenes.

    Attributes
    ----------
    paint : callable
        Paints the object with a `Brush` and a `Chance`.
    scenes : tuple of str
        Possible backgrounds, names in `scenery.SCENES`.
    pose : str
        "lying" (flat, seen from above or at a slant, shadow beside it),
        "resting" (the same for a ball, which looks round from everywhere),
        "standing" (y = 1 rests on the ground, shadow below it), "floating"
        (y = 1 lies in the water or sand) or "free" (in the air).
    tilt : float
        Largest turn to either side, in degrees.
    mirrored : bool
        Whether the mirror image is also realistic.
    """

    paint: Painter
    scenes: tuple[str, ...]
    pose: str
    tilt: float
    mirrored: bool


MOTIFS: dict[str, Motif] = {}


def motif(
    scenes: str, pose: str, tilt: float, mirrored: bool = True
) -> Callable[[Painter], Painter]:
    """Register a painter in the table under its own name."""

    def enter(paint: Painter) -> Painter:
        MOTIFS[paint.__name__] = Motif(paint, tuple(scenes.split()), pose, tilt, mirrored)
        return paint

    return enter
