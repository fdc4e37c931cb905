"""The program that drew the pictures of the offline sample.

`python -m tools.sample_painter` draws all of them and writes the archive in the package.
"""

from tools.sample_painter.painter import draw

__all__ = ["draw"]
