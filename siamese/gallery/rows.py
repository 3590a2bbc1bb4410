"""What a row of a gallery is: the schema of its table, and the space of its embeddings."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError

SCHEMA_VERSION = 1
KEY = b"siamese"

COLUMNS = ("path", "person", "camera", "time", "tracklet")
"""What is known of an image; `digest`, `model` and `embedding` are the other columns."""


@dataclass(frozen=True)
class Space:
    """The space of a gallery's embeddings.

    Attributes:
        fingerprint: Of the model that made them.
        dimensions: Of each.
        schema_version: `SCHEMA_VERSION` of the writer.
        preprocessing: What was stated of a model made elsewhere, as `Model.preprocessing`.
    """

    fingerprint: str
    dimensions: int
    schema_version: int = SCHEMA_VERSION
    preprocessing: dict[str, Any] | None = None


def make_rows(space: Space, columns: dict[str, list[Any]], embeddings: NDArray[np.float32]) -> Any:
    """Rows for `Table.append`.

    Args:
        space: Of the gallery.
        columns: `path`, `digest`, `person`, `camera`, `time` and `tracklet` of each row.
        embeddings: `(rows, dimensions)`, float32, of length 1.

    Returns:
        A `pyarrow.Table`.

    Raises:
        InputError: The embeddings are of another size, or not of length 1.
    """
    import pyarrow

    schema = make_schema(space)
    if embeddings.shape != (len(columns["path"]), space.dimensions):
        raise InputError(
            f"embeddings must have {space.dimensions} dimensions, as the gallery has. Received: "
            f"shape {embeddings.shape}. Use the gallery's model."
        )
    wrong = bad_lengths(embeddings)
    if len(wrong):
        raise InputError(
            "embeddings must have length 1. Received: another length, NaN or infinity for "
            f"{columns['path'][wrong[0]]}. Leave the image out, or check the model."
        )
    vectors = pyarrow.FixedSizeListArray.from_arrays(
        np.ascontiguousarray(embeddings, np.float32).ravel(), space.dimensions
    )
    return pyarrow.table(
        {**columns, "model": [space.fingerprint] * len(embeddings), "embedding": vectors}, schema
    )


def bad_lengths(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rows whose length is not 1, or not a number.

    Example:
        >>> bad_lengths(np.array([[1, 0], [1, 1], [np.nan, 0]], np.float32)).tolist()
        [1, 2]
    """
    lengths = np.einsum("ij,ij->i", embeddings, embeddings)
    return np.asarray(np.flatnonzero(~(np.abs(lengths - 1) < 2e-3)), np.int64)


def embeddings_of(rows: Any) -> NDArray[np.float32]:
    """The column `embedding` of a `pyarrow.Table` as `(rows, dimensions)`, float32."""
    column = rows.column("embedding").combine_chunks()
    found = np.empty((len(column), column.type.list_size), np.float32)
    copy_vectors(column, found)
    return found


def copy_vectors(column: Any, target: NDArray[np.float32]) -> None:
    """Copies a column `embedding` to an array `(rows, dimensions)`."""
    target[:] = column.flatten().to_numpy(zero_copy_only=False).reshape(target.shape)


def make_schema(space: Space) -> Any:
    """The columns of a gallery, as `pyarrow` has them."""
    import pyarrow

    text, whole = pyarrow.string(), pyarrow.int64()
    return pyarrow.schema(
        [
            pyarrow.field("path", text, nullable=False),
            pyarrow.field("digest", text, nullable=False),
            pyarrow.field("person", text),
            pyarrow.field("camera", whole),
            pyarrow.field("time", pyarrow.timestamp("us")),
            pyarrow.field("tracklet", whole),
            pyarrow.field("model", text, nullable=False),
            pyarrow.field(
                "embedding", pyarrow.list_(pyarrow.float32(), space.dimensions), nullable=False
            ),
        ],
        metadata={KEY: json.dumps(asdict(space)).encode()},
    )


def read_space(uri: str, schema: Any) -> Space:
    """What the schema of a table says about its embeddings.

    Raises:
        InputError: It is not that of a gallery, or of another version of the program.
    """
    values = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    version = values.get("schema_version")
    if version is None:
        raise InputError(f"{uri}: is a LanceDB table, but not a gallery. Give another folder.")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{uri}: has schema version {version}; this program reads {SCHEMA_VERSION}. Use the "
            "program's version that wrote it, or add the images again to a new gallery."
        )
    return Space(**values)
