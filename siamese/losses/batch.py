"""What the losses share: their base class, and who is whose positive and negative in a batch."""

from typing import Any

import keras
from keras import ops

from siamese.distances import Tensor
from siamese.errors import InputError


class BatchLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """A loss over one batch, in float32, averaged.

    The precision is fixed because Keras casts labels to a loss's dtype, and bfloat16 would fold 751
    people into 445; float32 keeps every label below 2^24. Embeddings of mixed precision are cast up
    with it. Each subclass says what it averages over.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this loss again."""
        return {"name": self.name}


def check_rows(labels: Tensor, embeddings: Tensor, group: int = 1) -> Tensor:
    """Checks that there is one label a row and that rows come in whole groups.

    Args:
        labels: `(rows,)` or `(rows, 1)`.
        embeddings: `(rows, dimensions)`.
        group: Rows that belong together.

    Returns:
        Labels, `(rows,)`.

    Raises:
        InputError: The numbers of rows, where they are known, do not fit.
    """
    labels = ops.reshape(labels, (-1,))
    count, rows = labels.shape[0], embeddings.shape[0]
    if count is not None and rows is not None and count != rows:
        raise InputError(
            f"There must be one label a row of the embeddings. Received: {count} labels and {rows} "
            "rows. Give the number of the person, not a one-hot vector."
        )
    if rows is not None and rows % group:
        raise InputError(
            f"Rows must come in groups of {group}. Received: {rows} rows. Drop the incomplete "
            "group, or use a loss that takes any batch."
        )
    return labels


def check_at_least_zero(**numbers: float) -> None:
    """Raises unless every number is at least 0.

    Args:
        **numbers: Arguments by name.

    Raises:
        InputError: One is negative or NaN.
    """
    for name, number in numbers.items():
        if not number >= 0:
            raise InputError(f"`{name}` must be >= 0. Received: {name}={number}. Give 0 or more.")


def check_above_zero(**numbers: float) -> None:
    """Raises unless every number is above 0.

    Args:
        **numbers: Arguments by name.

    Raises:
        InputError: One is 0, negative or NaN.
    """
    for name, number in numbers.items():
        if not number > 0:
            raise InputError(f"`{name}` must be > 0. Received: {name}={number}. Give more than 0.")


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the positives and the negatives of each row.

    Args:
        labels: `(rows,)`.

    Returns:
        Where another row has the same label, `(rows, rows)`, bool; and where it has another label.
    """
    same = labels[:, None] == labels[None, :]
    itself = ops.eye(ops.shape(labels)[0], dtype="bool")
    return ops.logical_and(same, ops.logical_not(itself)), ops.logical_not(same)


def has_both(positive: Tensor, negative: Tensor) -> Tensor:
    """Finds the anchors that have a positive and a negative.

    Args:
        positive: `(rows, rows)`, bool.
        negative: `(rows, rows)`, bool.

    Returns:
        `(rows,)`, bool.
    """
    return ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1))


def max_where(values: Tensor, mask: Tensor) -> Tensor:
    """The largest value over the last axis of those in the mask, -infinity where there is none."""
    masked = ops.where(mask, values, -float("inf"))
    return ops.max(masked, axis=-1, initial=-float("inf"))


def min_where(values: Tensor, mask: Tensor) -> Tensor:
    """The least value over the last axis of those in the mask, infinity where there is none."""
    masked = ops.where(mask, values, float("inf"))
    return ops.min(masked, axis=-1, initial=float("inf"))


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Averages the values where the mask is true.

    Args:
        values: Any shape.
        mask: The same shape, bool.

    Returns:
        The mean, `(1,)`; 0 when the mask is nowhere true. Not a scalar, because Keras divides a
        loss by the number of replicas only when it has an axis.
    """
    total = ops.sum(ops.where(mask, values, 0))
    count = ops.sum(ops.cast(mask, total.dtype))
    return ops.reshape(total / ops.maximum(count, 1), (1,))


def logsumexp_where(values: Tensor, mask: Tensor) -> Tensor:
    """Takes log(sum(exp(values))) of each row over the places where the mask is true.

    Args:
        values: `(rows, columns)`.
        mask: The same shape, bool.

    Returns:
        `(rows,)`; about -1e30, whose exp is 0 and which leaves no infinity to gradients, where the
        mask is nowhere true.
    """
    return ops.logsumexp(ops.where(mask, values, -1e30), axis=1)
