"""Base classes of the losses, and the positives and negatives of a batch."""

import re
from typing import Any, Literal

import keras
from keras import ops

from siamese.distances import Distance, Tensor, pairwise_distances
from siamese.errors import InputError


class BatchLoss(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """A loss over one batch, in float32, averaged.

    The precision is fixed because Keras casts labels to a loss's dtype, and bfloat16 would fold 751
    people into 445; float32 keeps every label below 2^24. Embeddings of mixed precision are cast up
    with it. Each subclass says what it averages over.

    Args:
        name: The loss's name; by default that of its class, as `triplet_loss`.
        **arguments: Those of the subclass, which become attributes.

    Raises:
        InputError: An argument is out of its range, or labels and rows of a batch do not fit.
    """

    def __init__(self, name: str | None = None, **arguments: Any) -> None:
        words = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__)
        name = name or words.lower()
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        self.arguments = arguments
        for argument, value in arguments.items():
            setattr(self, argument, value)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this loss again."""
        return {"name": self.name, **self.arguments}


class AnchorLoss(BatchLoss):
    """A mean over the anchors of a batch: the rows that have a positive and a negative.

    The positives of a row are the other rows with its label, its negatives the rows with another
    label. Without any anchor the loss is 0. A subclass gives the cost of each anchor.
    """

    distance: Distance = "cosine"

    def call(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the mean over anchors, `(1,)`.

        Args:
            labels: Numbers of people, `(rows,)`.
            embeddings: `(rows, dimensions)`.

        Raises:
            InputError: There is not one label a row.
        """
        labels = check_rows(labels, embeddings)
        distances = pairwise_distances(embeddings, distance=self.distance)
        positive, negative = pair_masks(labels)
        costs = self.anchor_costs(distances, positive, negative)
        return mean_where(costs, has_both(positive, negative))

    def anchor_costs(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Returns the cost of each row, `(rows,)`; of no meaning for a row that is no anchor.

        Distances, of the kind `distance`, and the two masks are `(rows, rows)`.
        """
        raise NotImplementedError


def check_rows(labels: Tensor, embeddings: Tensor, group: int = 1) -> Tensor:
    """Returns labels as `(rows,)`, having checked that there is one a row of the embeddings.

    Args:
        labels: `(rows,)` or `(rows, 1)`.
        embeddings: `(rows, dimensions)`.
        group: Rows that belong together.

    Raises:
        InputError: The numbers of rows, where they are known, do not fit, or a group is not whole.
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


def check_numbers(relation: Literal[">", ">="], **numbers: float) -> None:
    """Raises an `InputError` unless every number, given by its name, is above (or at least) 0."""
    for name, number in numbers.items():
        if not (number > 0 or (number == 0 and relation == ">=")):
            raise InputError(f"`{name}` must be {relation} 0. Received: {name}={number}.")


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the positives and the negatives of each row by labels `(rows,)`.

    Returns:
        Where another row has the same label, and where it has another: `(rows, rows)`, bool.
    """
    same = labels[:, None] == labels[None, :]
    itself = ops.eye(ops.shape(labels)[0], dtype="bool")
    return ops.logical_and(same, ops.logical_not(itself)), ops.logical_not(same)


def has_both(positive: Tensor, negative: Tensor) -> Tensor:
    """Finds the anchors, `(rows,)`: those with a positive and a negative in `(rows, rows)`."""
    return ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1))


def max_where(values: Tensor, mask: Tensor) -> Tensor:
    """Returns the largest value over the last axis in the mask, -infinity where it is empty."""
    masked = ops.where(mask, values, -float("inf"))
    return ops.max(masked, axis=-1, initial=-float("inf"))


def min_where(values: Tensor, mask: Tensor) -> Tensor:
    """Returns the least value over the last axis in the mask, infinity where it is empty."""
    masked = ops.where(mask, values, float("inf"))
    return ops.min(masked, axis=-1, initial=float("inf"))


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Averages values of any shape where the mask, of that shape, is true.

    Returns:
        The mean, `(1,)`; 0 when the mask is nowhere true. Not a scalar, because Keras divides a
        loss by the number of replicas only when it has an axis.
    """
    total = ops.sum(ops.where(mask, values, 0))
    count = ops.sum(ops.cast(mask, total.dtype))
    return ops.reshape(total / ops.maximum(count, 1), (1,))


def logsumexp_where(values: Tensor, mask: Tensor) -> Tensor:
    """Takes log(sum(exp(values))) of each row over the places where the mask is true.

    Returns:
        `(rows,)`, of `(rows, columns)`; about -1e30, whose exp is 0 and which leaves no infinity to
        gradients, where the mask is nowhere true.
    """
    return ops.logsumexp(ops.where(mask, values, -1e30), axis=1)
