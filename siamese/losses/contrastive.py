"""Losses on pairs: alike when they show the same person, apart when they do not."""

from typing import Literal, TypeAlias, get_args

import keras
from keras import ops

from siamese.distances import (
    Distance,
    Tensor,
    check_distance,
    pairwise_distances,
    row_distances,
)
from siamese.errors import InputError
from siamese.losses.batch import BatchLoss, check_numbers, check_rows, mean_where

Pairs: TypeAlias = Literal["consecutive", "all"]


@keras.saving.register_keras_serializable("siamese")
class ContrastiveLoss(BatchLoss):
    """Pulls pairs of one person together and pushes pairs of two people a margin apart.

    A pair at distance D costs D^2 when its labels are equal, else max(0, margin - D)^2; the loss is
    the mean over pairs, 0 when there is none. (Hadsell, Chopra and LeCun, Dimensionality Reduction
    by Learning an Invariant Mapping, CVPR 2006, equation 4, without its factor 1/2, as in
    tensorflow-addons.) Two people at exactly the same place get no gradient: no direction leads
    apart.

    Args:
        margin: Distance from which two people cost nothing; at least 0.
        distance: `euclidean` as in the paper, `squared_euclidean` or `cosine`.
        pairs: `consecutive`: rows 2i and 2i + 1 are a pair. `all`: every two rows of the batch are.
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: Distance = "euclidean",
        pairs: Pairs = "consecutive",
        name: str | None = None,
    ) -> None:
        super().__init__(name, margin=margin, distance=distance, pairs=pairs)
        check_numbers(">=", margin=margin)
        check_distance(distance)
        if pairs not in get_args(Pairs):
            raise InputError(f"`pairs` must be 'consecutive' or 'all'. Received: {pairs!r}.")

    def call(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Returns one value a pair, `(rows / 2,)`, if consecutive; of all pairs the mean, `(1,)`.

        Labels are numbers of people, `(rows,)`; embeddings `(rows, dimensions)`.
        """
        if self.pairs == "consecutive":
            labels = check_rows(labels, embeddings, group=2)
            distances = row_distances(embeddings[0::2], embeddings[1::2], self.distance)
            return self._cost(labels[0::2] == labels[1::2], distances)
        labels = check_rows(labels, embeddings)
        distances = pairwise_distances(embeddings, distance=self.distance)
        costs = self._cost(labels[:, None] == labels[None, :], distances)
        each_pair_once = ops.triu(ops.ones_like(costs), k=1) > 0
        return mean_where(costs, each_pair_once)

    def _cost(self, same: Tensor, distances: Tensor) -> Tensor:
        return ops.where(same, ops.square(distances), ops.square(ops.relu(self.margin - distances)))


@keras.saving.register_keras_serializable("siamese")
class SameDifferentLoss(BatchLoss):
    """Binary cross-entropy for a head that says how probably a pair shows the same person.

    With p the head's output for the images 2i and 2i + 1, a pair costs -log(p) when their labels
    are equal, else -log(1 - p); the loss is the mean over pairs. It is Keras's binary cross-entropy
    with the targets read from the labels of the images, so that the same batches serve every loss.
    """

    def call(self, labels: Tensor, outputs: Tensor) -> Tensor:
        """Returns one value a pair, `(pairs,)`.

        Args:
            labels: Numbers of people, `(2 * pairs,)`: rows 2i and 2i + 1 are a pair.
            outputs: Probabilities of *same*, `(pairs, 1)`, 0 to 1 (a sigmoid's output).
        """
        labels = ops.reshape(labels, (-1,))
        outputs = ops.reshape(outputs, (-1,))
        count, pairs = labels.shape[0], outputs.shape[0]
        if count is not None and pairs is not None and count != 2 * pairs:
            raise InputError(
                f"There must be two labels an output. Received: {count} labels and {pairs} outputs."
            )
        same = ops.cast(labels[0::2] == labels[1::2], outputs.dtype)
        return keras.losses.binary_crossentropy(same[:, None], outputs[:, None])
