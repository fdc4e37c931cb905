"""The motifs of the drawn photos: one painter per category, and a table of them.

To add a category, write a function of that name with the `motif` decorator in
one of these modules. It paints on a square from -1 to 1 (x to the right, y
down), with light from the upper left, and takes all random choices from its
`Chance`.
"""

from tools.sample_painter.motifs import animals, boats, flowers, outdoors, tableware
from tools.sample_painter.motifs.table import MOTIFS, Motif

__all__ = ["MOTIFS", "Motif", "animals", "boats", "flowers", "outdoors", "tableware"]
