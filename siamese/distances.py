"""Distances between embeddings: one definition for training, on any Keras backend.

Smaller is more alike. Three kinds, for embeddings a and b of the same length:

- `euclidean`: ||a - b||, from 0 on; 0 to 2 when embeddings have length 1.
- `squared_euclidean`: ||a - b||^2.
- `cosine`: 1 - a.b / (||a|| ||b||), from 0 to 2 (rounding may pass it by 1e-6). An
  embedding of zeros has no direction: its similarity to everything counts as 0, its distance as 1.

Every distance is summed from differences, never from a.a + b.b - 2 a.b: the short form subtracts
large, nearly equal numbers, and on GPUs that multiply matrices with 10 bits of mantissa
(TensorFloat-32, TensorFlow's default) little of a small distance is left. The price is memory for
(rows, columns, dimensions) where the backend does not fuse the sum (TensorFlow without XLA):
34 MB for a batch of 128 embeddings of 512.
"""

from typing import Any, Literal, TypeAlias, get_args

from keras import backend, ops

from siamese.errors import InputError

Tensor: TypeAlias = Any
"""An array or a tensor of the backend in use."""

Distance: TypeAlias = Literal["euclidean", "squared_euclidean", "cosine"]


def pairwise_distances(
    rows: Tensor, columns: Tensor | None = None, distance: Distance = "euclidean"
) -> Tensor:
    """Measures every row against every column.

    Equal embeddings are at a distance of exactly 0 and have a gradient of 0 (`cosine` under XLA:
    1e-15, for it may round the lengths of the two sides apart).

    Args:
        rows: Embeddings, `(rows, dimensions)`. Half precision is computed in float32.
        columns: Embeddings, `(columns, dimensions)`; the rows themselves when left out.
        distance: The kind of distance.

    Returns:
        Distances, `(rows, columns)`, float32 (float64 where both are float64).

    Raises:
        InputError: Embeddings are not two matrices of the same width, or there is no such distance.
    """
    check_distance(distance)
    rows, columns = _as_floats(rows, rows if columns is None else columns)
    _check_matrices(rows, columns)
    return _distances(rows[:, None, :], columns[None, :, :], distance)


def row_distances(first: Tensor, second: Tensor, distance: Distance = "euclidean") -> Tensor:
    """Measures row i of the first matrix against row i of the second.

    Returns:
        Distances, `(rows,)`, of two `(rows, dimensions)`; precision as in `pairwise_distances`.

    Raises:
        InputError: Embeddings are not two matrices of the same shape, or there is no such distance.
    """
    check_distance(distance)
    first, second = _as_floats(first, second)
    _check_matrices(first, second)
    if None not in (first.shape[0], second.shape[0]) and first.shape[0] != second.shape[0]:
        raise InputError(
            "`first` and `second` must have as many rows as each other. Received: "
            f"{first.shape[0]} and {second.shape[0]} rows. Use pairwise_distances for all against "
            "all."
        )
    return _distances(first, second, distance)


def check_distance(distance: str) -> None:
    """Raises an `InputError` unless there is such a distance."""
    if distance not in get_args(Distance):
        raise InputError(
            f"`distance` must be one of {', '.join(get_args(Distance))}. Received: "
            f"distance={distance!r}. Choose one of them."
        )


def _distances(first: Tensor, second: Tensor, distance: Distance) -> Tensor:
    """Distances over the last axis of two tensors that broadcast."""
    if distance == "cosine":
        first, first_is_zero = _unit_vectors(first)
        second, second_is_zero = _unit_vectors(second)
        # 1 - u.v = |u - v|^2 / 2 + (1 - |u|^2) / 2 + (1 - |v|^2) / 2, and |u| is 0 or 1.
        return (_squared_norm(first - second) + first_is_zero + second_is_zero) / 2
    squared = _squared_norm(first - second)
    return squared if distance == "squared_euclidean" else safe_root(squared)


def _squared_norm(vectors: Tensor) -> Tensor:
    return ops.sum(ops.square(vectors), axis=-1)


def safe_root(squared: Tensor) -> Tensor:
    """Takes the square root, with a slope of 0 where there is nothing above 0."""
    # The slope of sqrt at 0 is infinite, and infinity times 0 is NaN. The inner `where` keeps
    # the zeros away from sqrt, the outer one gives them back with a slope of 0.
    is_positive = squared > 0
    return ops.where(is_positive, ops.sqrt(ops.where(is_positive, squared, 1)), 0)


def _unit_vectors(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length 1 (zeros stay zeros), and 1 where the vector is zeros, else 0."""
    norms = safe_root(_squared_norm(vectors))
    is_zero = norms == 0
    return vectors / ops.where(is_zero, 1, norms)[..., None], ops.cast(is_zero, norms.dtype)


def _as_floats(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    first, second = ops.convert_to_tensor(first), ops.convert_to_tensor(second)
    if all(backend.standardize_dtype(each.dtype) == "float64" for each in (first, second)):
        return first, second
    return ops.cast(first, "float32"), ops.cast(second, "float32")


def _check_matrices(first: Tensor, second: Tensor) -> None:
    shapes = tuple(first.shape), tuple(second.shape)
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1]:
        raise InputError(
            "Embeddings must be two matrices (rows, dimensions) of the same width. Received: "
            f"shapes {shapes[0]} and {shapes[1]}. Give one embedding a row, from one model."
        )
