"""What can go wrong for a user, each told in one sentence."""


class LabError(Exception):
    """A fault the user can do something about; its message is one sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback: the sentence is all a reader needs.
        return [f"{type(self).__name__}: {self}"]


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
