"""Classes of errors for users; the sentence of each stands where it is raised."""

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
    """Base class of errors that the user can fix; the message is one sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a traceback.
        return [f"{type(self).__name__}: {shown_name(self)}"]


class PhotoError(LabError):
    """A file cannot be read as a photo."""


class DatasetError(LabError):
    """Photos are missing or not as expected."""


class WeightsError(LabError):
    """Pretrained weights are missing or not the expected ones."""


class CacheError(LabError):
    """A saved file cannot be written, or is damaged."""


class MemoryLimitError(LabError):
    """A step does not fit into the free memory."""


class ArgumentError(LabError, ValueError):
    """An argument is invalid for this data, such as k larger than n."""
