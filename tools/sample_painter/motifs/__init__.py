"""What the drawn photos show: one painter a category, and a table of them.

To add a category, write one function under its name, with the `motif`
decorator, in one of the modules here. It paints on a square from -1 to 1 (x to
the right, y down), light comes from the upper left, and every choice it makes
comes from its `Chance`.
"""

from tools.sample_painter.motifs import animals, boats, flowers, outdoors, tableware
from tools.sample_painter.motifs.table import MOTIFS, Motif

__all__ = ["MOTIFS", "Motif", "animals", "boats", "flowers", "outdoors", "tableware"]
