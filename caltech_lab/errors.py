"""What can go wrong for a user, each told in one sentence."""

import re

# Control characters, separators of lines, marks that turn the direction of writing, and what
# Python makes of bytes that are no Unicode: a console would obey them, or fail.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown_name(name: object) -> str:
    r"""Return a name, or a line with names in it, as a console shows it: on one line, harmless.

    Examples
    --------
    >>> print(shown_name("two\nlines, \x1b[2J"))
    two\nlines, \x1b[2J
    """
    return _UNSHOWABLE.sub(lambda found: ascii(found[0])[1:-1], str(name))


class LabError(Exception):
    """A fault the user can do something about; its message is one sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback: the sentence is all a reader needs.
        return [f"{type(self).__name__}: {shown_name(self)}"]


class PhotoError(LabError):
    """A file that cannot be shown as a photo."""


class DatasetError(LabError):
    """Photos that are not there, or not as they should be."""


class WeightsError(LabError):
    """Pretrained weights that are not there, or not the expected ones."""


class CacheError(LabError):
    """A saved artifact that cannot be written or believed."""


class MemoryLimitError(LabError):
    """A step that would not fit into this machine's memory."""


class ArgumentError(LabError, ValueError):
    """An argument that makes no sense for this data, such as k larger than n."""
