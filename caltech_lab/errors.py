"""Errors for users, each with a message of one sentence."""


class LabError(Exception):
    """Base class of errors that the user can fix; the message is one sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a traceback.
        return [f"{type(self).__name__}: {self}"]


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
