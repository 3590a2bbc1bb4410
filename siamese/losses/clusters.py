"""The memory of cluster centres that crops of unknown people are compared with."""

from typing import Any

import keras
from keras import ops

from siamese.distances import Tensor
from siamese.losses.batch import check_numbers
from siamese.losses.classification import ClassHead

EMPTY = -1e4
"""A cosine of a centre that no cluster has: its exponential is 0."""


@keras.saving.register_keras_serializable("siamese")
class ClusterMemory(ClassHead):
    """Holds the centre of each cluster and gives the cosines of embeddings to all of them.

    With `CosFaceLoss(margin=0, scale=1 / temperature)` on its output it is the InfoNCE of Cluster
    Contrast (Dai et al., ACCV 2022, arXiv 2103.11568, equation 2): with c_k the centre of cluster k
    and q the embedding of a crop of cluster +, -log(exp(q.c_+ / t) / sum over k of exp(q.c_k / t)).
    No gradient reaches the centres. After the cosines of a training batch each centre moves to

        momentum * c_k + (1 - momentum) * (mean of its embeddings in the batch)

    and back to length 1 (equation 5, with the mean of the batch for single embeddings). The labels
    come as a second input, because a layer in Keras sees no targets.

    Args:
        classes: The most clusters; at least 1.
        momentum: Share of a centre that stays, 0 to below 1.
        **arguments: As for any layer (`name`, ...). Half precision is computed in float32.

    Raises:
        InputError: An argument is out of its range.
    """

    def __init__(self, classes: int, momentum: float = 0.1, **arguments: Any) -> None:
        super().__init__(classes, **arguments)
        check_numbers(">=", momentum=momentum)
        check_numbers(">", **{"1 - momentum": 1 - momentum})
        self.momentum = momentum

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Creates the centres, `(classes, dimensions)`; those of zeros are of no cluster."""
        self.centres = self.add_weight(
            shape=(self.classes, input_shape[0][-1]),
            initializer="zeros",
            trainable=False,
            name="centres",
        )

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        """Returns the cosines, `(rows, classes)`, `EMPTY` where there is no cluster.

        Args:
            inputs: Embeddings `(rows, dimensions)`, unit vectors, and clusters `(rows,)`, from 0.
            training: Move the centres.
        """
        embeddings, clusters = inputs
        centres = ops.convert_to_tensor(self.centres)
        used = ops.any(centres != 0, axis=1)
        cosines = ops.where(used, ops.matmul(embeddings, ops.transpose(centres)), EMPTY)
        if training:
            members = ops.one_hot(ops.cast(clusters, "int32"), self.classes, dtype="float32")
            sums = ops.matmul(ops.transpose(members), ops.stop_gradient(embeddings))
            counts = ops.sum(members, axis=0)[:, None]
            moved = self.momentum * centres + (1 - self.momentum) * sums / ops.maximum(counts, 1.0)
            self.centres.assign(ops.where(counts > 0, ops.normalize(moved, axis=1), centres))
        return cosines

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """Returns `(rows, classes)`."""
        return input_shape[0][0], self.classes

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return {**super().get_config(), "momentum": self.momentum}
