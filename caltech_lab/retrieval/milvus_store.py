"""A vector store in Milvus: a local file of Milvus Lite, or a server, through the same client."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.index import (
    NOTHING,
    Ids,
    Similarities,
    checked_queries,
    checked_vectors,
    ranked,
)

COLLECTION = "caltech_lab"
ROWS_AT_ONCE = 1000  # a request is limited to 64 MB
MAX_NAME = 512  # bytes of a category


class MilvusStore:
    """A vector store in Milvus; see `stores.VectorStore`.

    Parameters
    ----------
    address : str
        A file that ends in .db for Milvus Lite, or a server such as `http://localhost:19530`.
    dimension : int
        Dimension of the vectors.
    index : str
        A Milvus index, such as FLAT (exact), HNSW or IVF_FLAT.
    new : bool
        Whether to start with an empty store even if one exists.

    References
    ----------
    J. Wang et al.: Milvus: a purpose-built vector data management system. SIGMOD 2021.
    """

    def __init__(
        self, address: str, dimension: int, index: str = "FLAT", *, new: bool = False
    ) -> None:
        try:
            from pymilvus import DataType, MilvusClient, MilvusException
        except ImportError as error:
            raise ArgumentError(
                "Milvus is not installed: install it with `pip install 'caltech-lab[scale]'`."
            ) from error
        self.d, self.address, self._fault = dimension, address, MilvusException
        if "://" not in address:
            if not address.endswith(".db"):
                raise ArgumentError(f"Milvus Lite needs a file that ends in .db, not {address}.")
            Path(address).expanduser().absolute().parent.mkdir(parents=True, exist_ok=True)
            address = str(Path(address).expanduser().absolute())
        try:
            self._client: Any = MilvusClient(address)
            if new:
                self._client.drop_collection(COLLECTION)
            if not self._client.has_collection(COLLECTION):
                schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field("id", DataType.INT64, is_primary=True)
                schema.add_field("category", DataType.VARCHAR, max_length=MAX_NAME)
                schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
                how = self._client.prepare_index_params()
                how.add_index("vector", index_type=index, metric_type="IP")
                self._client.create_collection(COLLECTION, schema=schema, index_params=how)
            self._client.load_collection(COLLECTION)
            fields = self._client.describe_collection(COLLECTION)["fields"]
        except (MilvusException, OSError) as error:
            raise CacheError(
                f"Milvus at {self.address} cannot be used ({error}): check the address, and close "
                "other programs that use the file."
            ) from error
        (there,) = (f["params"]["dim"] for f in fields if f["name"] == "vector")
        if int(there) != dimension:
            raise CacheError(
                f"Milvus at {self.address} holds {there}-dimensional vectors, not {dimension}: "
                "use another file, or the backbone that it was filled with."
            )

    @property
    def ntotal(self) -> int:
        """Number of vectors."""
        found = self._client.query(
            COLLECTION, output_fields=["count(*)"], consistency_level="Strong"
        )
        return int(found[0]["count(*)"])

    def add(
        self, ids: Ids, X: NDArray[np.float32], categories: Sequence[str] | None = None
    ) -> None:
        """See `VectorStore.add`."""
        X = checked_vectors(ids, X, self.d)
        names = [""] * len(X) if categories is None else list(categories)
        if self._there(ids):
            raise ArgumentError("Some of these ids are already in the gallery: remove them first.")
        for start in range(0, len(X), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            rows = zip(np.asarray(ids)[part].tolist(), names[part], X[part], strict=True)
            self._client.insert(
                COLLECTION, [{"id": i, "category": c, "vector": x} for i, c, x in rows]
            )

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        categories: Sequence[str] | None = None,
        exclude: ArrayLike | None = None,
    ) -> tuple[Similarities, Ids]:
        """See `VectorStore.search`."""
        queries = checked_queries(queries, self.d, exclude)
        most = k + (exclude is not None)
        similarities = np.full((len(queries), most), -np.inf, np.float32)
        ids = np.full((len(queries), most), NOTHING, np.int64)
        allowed = "" if categories is None else f"category in {quoted(categories)}"
        if categories is not None and not categories:
            return ranked(similarities, ids, exclude)
        answers = self._client.search(
            COLLECTION, list(queries), limit=most, filter=allowed, output_fields=["id"],
            consistency_level="Strong",
        )  # fmt: skip
        for row, answer in enumerate(answers):
            similarities[row, : len(answer)] = [hit["distance"] for hit in answer]
            ids[row, : len(answer)] = [hit["id"] for hit in answer]
        return ranked(similarities, ids, exclude)

    def _there(self, ids: Ids) -> list[int]:
        wanted = np.asarray(ids, np.int64).tolist()
        found: list[int] = []
        for start in range(0, len(wanted), ROWS_AT_ONCE):
            rows = self._client.get(
                COLLECTION, wanted[start : start + ROWS_AT_ONCE], output_fields=["id"]
            )
            found += [int(row["id"]) for row in rows]
        return found

    def remove(self, ids: Ids) -> int:
        """See `VectorStore.remove`."""
        leaving = self._there(ids)
        if leaving:
            self._client.delete(COLLECTION, ids=leaving)
        return len(leaving)

    def save(self) -> None:
        """See `VectorStore.save`."""
        self._client.flush(COLLECTION)

    def close(self) -> None:
        """Close the connection to the file or server."""
        self._client.close()


def quoted(names: Sequence[str]) -> str:
    r"""Return names as a list in Milvus filter syntax.

    Examples
    --------
    >>> quoted(['cup', 'Faces "easy"'])
    '["cup", "Faces \\"easy\\""]'
    """
    return json.dumps(list(names), ensure_ascii=False)
