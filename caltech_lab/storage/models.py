"""Fitted estimators, saved by skops and read without executing any code in them."""

import sys
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caltech_lab.errors import CacheError
from caltech_lab.storage.files import write_atomically

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# Types in our models besides those of scikit-learn, which skops trusts by default.
TRUSTED_TYPES: tuple[str, ...] = (
    "caltech_lab.classification.svm.CalibratedSVM",
    "caltech_lab.classification.svm.PowerNormalizer",
    "caltech_lab.retrieval.novelty.NoveltyDetector",
    "caltech_lab.studies.vectors.projections.PartialWhitener",
    "caltech_lab.studies.vectors.projections.PosteriorProjection",
    "caltech_lab.studies.vectors.projections.ProxyProjection",
    "numpy.round",
    "sklearn.tree._tree.Tree",
)
MAX_MODEL_BYTES = 4 * 2**30  # uncompressed; the random forest for 9,144 photos takes 0.8 GB


def save_model(path: Path, model: "BaseEstimator") -> None:
    """Write a fitted scikit-learn estimator atomically with skops."""
    skops = _skops()
    with write_atomically(path) as temporary:
        # Light compression reduces a forest from 780 MB to 40 MB without taking longer.
        skops.dump(model, temporary, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def load_model(path: Path) -> Any:
    """Read an estimator written by `save_model`, without pickle.

    Raises
    ------
    CacheError
        When the file contains types that are not trusted, unpacks to more than `MAX_MODEL_BYTES`,
        or is damaged.

    References
    ----------
    skops documentation, "Secure persistence with skops".
    """
    skops = _skops()
    try:
        with zipfile.ZipFile(path) as archive:  # never reads more of an entry than is stated here
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_MODEL_BYTES:
            raise CacheError(
                f"{path} unpacks to {size / 2**30:,.1f} GiB, more than any model of ours: delete "
                "it to have the model fitted again."
            )
        return skops.load(path, trusted=list(TRUSTED_TYPES))
    except skops.exceptions.UntrustedTypesFoundException as error:
        strange = sorted(set(skops.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
        raise CacheError(
            f"{path} holds types that are not trusted ({', '.join(strange)}): "
            "delete it to have the model fitted again."
        ) from error
    except (
        zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, EOFError, MemoryError,
    ) as error:  # fmt: skip
        raise CacheError(f"{path} is damaged: delete it to have the model fitted again.") from error


class _Hidden:
    """An import hook that hides packages."""

    names = ("torch", "pytest")

    def find_spec(self, name: str, *_: Any) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _skops() -> Any:
    """Import `skops.io`, which takes a second, without PyTorch and pytest, which take more.

    skops imports all of scikit-learn, parts of which import these two if they are there.
    """
    hidden: Any = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        import skops.io.exceptions
    finally:
        sys.meta_path.remove(hidden)
    return skops.io
