"""Draws the offline sample and writes its archive."""

from caltech_lab.datasets import drawn
from caltech_lab.storage.files import sha256_of
from tools.sample_painter.archive import paint, write

write(drawn.ARCHIVE, paint())
found = sha256_of(drawn.ARCHIVE)
print(f"{drawn.ARCHIVE} was written.")
if found != drawn.SHA256:
    print(f"The pictures have changed: set SHA256 in {drawn.__file__} to {found}.")
