"""NumPy distances: from many queries to a large gallery in blocks, or of chosen rows, exactly.

All scores, searches and verdicts measure here; training measures in `siamese.distances`.

The dense matrix of MSMT17 is 3.8 GB and that of a million gallery images does not fit at all, so
every score reads `DistanceBlocks`: an iterator of `(first query, distances (rows, gallery))`. A
block is float32, belongs to whoever receives it (it may be overwritten) and is valid until the next
is asked for.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError

Metric = Literal["euclidean", "cosine"]
DistanceBlocks: TypeAlias = Iterator[tuple[int, NDArray[np.float32]]]
Indices: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_ELEMENTS = 1 << 23  # of a block: 32 MB keeps the product near full speed and out of the way
_COLUMNS = 1 << 15  # of the gallery converted at a time, so that a float16 gallery stays float16
_PAIRS = 1 << 14  # of vectors gathered at a time: 2 x 32 MB at 512 dimensions


def distance_blocks(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    *,
    metric: Metric = "euclidean",
    columns: Indices | None = None,
    squared: bool = False,
) -> DistanceBlocks:
    """Yields the distances of every query to the whole gallery, block by block.

    Euclidean distances come from `|q|^2 + |g|^2 - 2 q g` in float32, so that of two equal vectors
    of length 1 may be read as up to 5e-4 instead of 0. Cosine distance is `1 - cos`, in 0..2; a
    vector of zeros is at 1 from everything.

    Args:
        query_embeddings: Checked embeddings, `(queries, dimensions)`.
        gallery_embeddings: Checked embeddings, `(gallery, dimensions)`. They are never copied as a
            whole: float16 halves the memory of a large gallery.
        metric: "euclidean" or "cosine".
        columns: Gallery rows to compare with, in the order of the block's columns; all when None.
        squared: Gives sort keys: Euclidean distances are left squared, and rounding errors below 0
            stay. A square root costs time and makes ties of numbers that differ; ranking needs
            neither.

    Yields:
        The number of the first query of a block, and its distances `(rows, columns)`, float32.

    Example:
        >>> for start, distances in distance_blocks([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]]):
        ...     print(start, distances)
        0 [[5. 1.]]
    """
    queries, gallery = np.asarray(query_embeddings), np.asarray(gallery_embeddings)
    count = len(gallery) if columns is None else len(columns)
    size = max(64, min(1024, _ELEMENTS // count))
    buffer = np.empty((min(size, len(queries)), count), np.float32)
    gallery_sizes = _squared_lengths(gallery)
    if columns is not None:
        gallery_sizes = gallery_sizes[columns]
    if metric == "cosine":
        gallery_sizes = -_inverse_lengths(gallery_sizes)
    for start in range(0, len(queries), size):
        rows = np.asarray(queries[start : start + size], np.float32)
        block = buffer[: len(rows)]
        query_sizes = np.einsum("ij,ij->i", rows, rows)
        scale = _inverse_lengths(query_sizes)[:, None] if metric == "cosine" else np.float32(-2)
        rows = rows * scale
        for left in range(0, count, _COLUMNS):
            chosen = slice(left, left + _COLUMNS)
            part = gallery[chosen] if columns is None else gallery[columns[chosen]]
            target = block[:, chosen]
            np.matmul(rows, np.asarray(part, np.float32).T, out=target)
            if metric == "cosine":
                target *= gallery_sizes[chosen]
                target += 1
            else:
                target += gallery_sizes[chosen]
                target += query_sizes[:, None]
        yield start, block if squared else to_distances(block, metric)


def to_distances(keys: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Turns sort keys of `distance_blocks`, of any shape, into distances, in place."""
    np.maximum(keys, 0, out=keys)
    return np.sqrt(keys, out=keys) if metric == "euclidean" else keys


def exact_distances(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Measures Euclidean distances from differences in float64: equal rows are at exactly 0.

    Returns:
        `(...)`, float64, of two arrays `(..., dimensions)` that broadcast.

    Example:
        >>> exact_distances(np.zeros((2, 2)), np.array([3.0, 4.0])).tolist()
        [5.0, 5.0]
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.asarray(np.linalg.norm(difference, axis=-1), np.float64)


def pair_distances(
    table: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    metric: Metric = "euclidean",
    squared: bool = False,
) -> Floats:
    """Measures some pairs of rows from their differences, a few thousand pairs at a time.

    Args:
        table: Checked embeddings, `(images, dimensions)`.
        first: `(pairs,)`, rows.
        second: `(pairs,)`, rows.
        metric: "euclidean" or "cosine".
        squared: Leaves Euclidean distances squared.

    Returns:
        `(pairs,)`, float64, summed in float32.
    """
    distances: Floats = np.empty(len(first))
    for start in range(0, len(first), _PAIRS):
        chosen = slice(start, start + _PAIRS)
        left = np.array(table[first[chosen]], np.float32)
        right = np.asarray(table[second[chosen]], np.float32)
        if metric == "cosine":
            scales = [_inverse_lengths(np.einsum("ij,ij->i", x, x)) for x in (left, right)]
            cosines = np.einsum("ij,ij->i", left, right) * (scales[0] * scales[1])
            distances[chosen] = np.maximum(1 - cosines, 0)
        else:
            left -= right
            distances[chosen] = np.einsum("ij,ij->i", left, left)
    return distances if squared or metric == "cosine" else np.sqrt(distances)


def mean_rows(rows: NDArray[Any], numbers: NDArray[np.integer[Any]]) -> Floats:
    """Averages the rows `(rows, dimensions)` of each number from 0, none of them left out.

    Returns:
        `(numbers, dimensions)`, float64.

    Example:
        >>> mean_rows(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1])).tolist()
        [[2.0], [5.0]]
    """
    counts = np.bincount(numbers)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, numbers, rows)
    return sums / counts[:, None]


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Brings rows `(rows, dimensions)` to length 1, float32; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)


def smallest(
    block: NDArray[np.float32], count: int, *, by_column: bool = False
) -> tuple[Indices, NDArray[np.float32]]:
    """Finds the smallest entries of each row, in rising order; ties by column.

    Args:
        block: `(rows, columns)`, float32, without NaN.
        count: At most the number of columns.
        by_column: Reads the block as if it were transposed, without the time that takes.

    Returns:
        Columns `(rows, count)`, int64, and their values `(rows, count)`, float32; for `by_column`,
        rows `(columns, count)` and values.

    Example:
        >>> columns, values = smallest(np.array([[3.0, 1.0, 2.0, 1.0]], np.float32), 3)
        >>> columns.tolist(), values.tolist()
        ([[1, 3, 2]], [[1.0, 1.0, 2.0]])
    """
    owners, length = block.shape[::-1] if by_column else block.shape
    groups = max(2 * count, length // 64)
    even = length // groups * groups
    if length < 4 * groups:
        minima = block.T if by_column else block
    # At least `count` entries are as small as the `count`-th smallest of the minima of any groups:
    # a bound that costs one pass, where a partition of whole rows costs ten.
    elif by_column:
        minima = block[:even].reshape(-1, groups, owners).min(axis=0).T
    else:
        minima = block[:, :even].reshape(owners, -1, groups).min(axis=1)
    bounds = np.partition(minima, count - 1, axis=1)[:, count - 1]
    candidates = np.flatnonzero(block <= (bounds if by_column else bounds[:, None]))
    row, column = np.divmod(candidates, block.shape[1])
    values = block[row, column]
    owner, place = (column, row) if by_column else (row, column)
    order = np.lexsort((place, values, owner))
    starts = np.searchsorted(owner, np.arange(owners), sorter=order)
    chosen = order[starts[:, None] + np.arange(count)]
    return place[chosen], values[chosen]


def checked_pair(
    query_embeddings: ArrayLike, gallery_embeddings: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Checks both sides of a comparison as `checked_embeddings` does, and that they agree."""
    queries = checked_embeddings(query_embeddings, "query_embeddings")
    gallery = checked_embeddings(gallery_embeddings, "gallery_embeddings")
    if queries.shape[1] != gallery.shape[1]:
        raise InputError(
            "Query and gallery embeddings must have the same number of dimensions. Received: "
            f"{queries.shape[1]} and {gallery.shape[1]}. Embed both with the same model."
        )
    return queries, gallery


def checked_embeddings(embeddings: ArrayLike, name: str) -> NDArray[Any]:
    """Returns embeddings as an array: a non-empty table of finite floating-point numbers.

    Args:
        embeddings: `(images, dimensions)`, float16, float32 or float64.
        name: What error messages call them.

    Raises:
        InputError: They are not.
    """
    array = np.asarray(embeddings)
    if array.ndim != 2 or array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise InputError(
            f"`{name}` must be an array (images, dimensions) of float16, float32 or float64. "
            f"Received: shape {array.shape}, {array.dtype}. Convert it, one row an image."
        )
    if not array.size:
        raise InputError(
            f"`{name}` must hold at least one image. Received: shape {array.shape}. "
            "Check that the folder or the selection holds images."
        )
    for start in range(0, len(array), _COLUMNS):
        finite = np.isfinite(array[start : start + _COLUMNS]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise InputError(
                f"`{name}` must be finite numbers. Received: NaN or infinity in row {row}. "
                "Embed that image again, or leave it out; a diverged model gives NaN for all."
            )
    return array


def check_metric(metric: str) -> None:
    """Raises an `InputError` unless the metric is "euclidean" or "cosine"."""
    if metric not in get_args(Metric):
        raise InputError(f'`metric` must be "euclidean" or "cosine". Received: metric={metric!r}.')


def _squared_lengths(embeddings: NDArray[Any]) -> NDArray[np.float32]:
    lengths = np.empty(len(embeddings), np.float32)
    for start in range(0, len(embeddings), _COLUMNS):
        part = np.asarray(embeddings[start : start + _COLUMNS], np.float32)
        lengths[start : start + _COLUMNS] = np.einsum("ij,ij->i", part, part)
    return lengths


def _inverse_lengths(squared: NDArray[np.float32]) -> NDArray[np.float32]:
    # A vector of zeros keeps the product 0, hence distance 1, instead of NaN.
    return np.divide(1, np.sqrt(squared), out=np.zeros_like(squared), where=squared > 0)
