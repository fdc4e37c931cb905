"""The program that drew the pictures of the offline sample.

`python -m tools.sample_painter` draws them all and writes the archive that the package carries.
"""

from tools.sample_painter.painter import draw

__all__ = ["draw"]
