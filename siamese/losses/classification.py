"""Losses that treat each person of the training set as a class, and the centre loss.

They serve training alone: a person that the classes do not know has no right answer, so a label
outside 0..classes-1 gives NaN, on every backend, rather than a number that means nothing.
"""

import math
from typing import Any

import keras
from keras import ops

from siamese.distances import Tensor, safe_root
from siamese.errors import InputError
from siamese.losses.batch import BatchLoss, check_numbers, check_rows


class ClassLoss(BatchLoss):
    """A mean over rows, each of which is compared with the class of its person."""

    def call(self, labels: Tensor, scores: Tensor) -> Tensor:
        """Returns one value a row, `(rows,)`; NaN where a label is no class.

        Args:
            labels: Numbers of people, `(rows,)`, 0..classes-1.
            scores: What the head says of each class, `(rows, classes)`.

        Raises:
            InputError: Scores are no matrix, or there is not one label a row.
        """
        if len(scores.shape) != 2 or scores.shape[1] is None:
            raise InputError(
                f"Scores must be a matrix (rows, classes). Received: shape {tuple(scores.shape)}. "
                "End the head with one output a person."
            )
        labels = ops.cast(check_rows(labels, scores), "int32")
        targets = ops.one_hot(labels, scores.shape[1], dtype=scores.dtype)
        costs = self.row_costs(targets, scores)
        return ops.where(ops.any(targets > 0, axis=1), costs, float("nan"))

    def row_costs(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the cost of each row, `(rows,)`, from one-hot targets and scores by class."""
        raise NotImplementedError


def _cross_entropy(targets: Tensor, logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    return keras.losses.categorical_crossentropy(
        targets, logits, from_logits=True, label_smoothing=label_smoothing
    )


@keras.saving.register_keras_serializable("siamese")
class IdentityLoss(ClassLoss):
    """Cross-entropy over people, with smoothed labels.

    The target of a row is 1 - e + e / classes for its person and e / classes for everyone else
    (Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, section
    7); the loss is the mean over rows. It is Keras's categorical cross-entropy on numbers in place
    of one-hot labels; Keras's own on numbers has no smoothing.

    Args:
        label_smoothing: The e above, from 0 to below 1.
    """

    def __init__(self, label_smoothing: float = 0.1, name: str | None = None) -> None:
        super().__init__(name, label_smoothing=label_smoothing)
        if not 0 <= label_smoothing < 1:
            raise InputError(
                "`label_smoothing` must be >= 0 and < 1. Received: "
                f"label_smoothing={label_smoothing}. Give 0.1, or 0 for none."
            )

    def row_costs(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the costs of unbounded scores."""
        return _cross_entropy(targets, scores, self.label_smoothing)


@keras.saving.register_keras_serializable("siamese")
class ArcFaceLoss(ClassLoss):
    """Cross-entropy over people after a margin is added to the angle to the right one.

    With t the angle between an embedding and its person's class vector, the logits are
    scale * cos(t + margin) for that person and scale * cos(angle) for the others (Deng, Guo, Xue
    and Zafeiriou, ArcFace, CVPR 2019, equation 3). Where t + margin would pass 180 degrees and the
    cosine would rise again, cos(t) - margin * sin(margin) goes on falling, as in the authors' code.
    The loss is the mean over rows.

    Args:
        margin: Radians, from 0 to below pi.
        scale: Above 0; larger is harder.
    """

    def __init__(self, margin: float = 0.5, scale: float = 64.0, name: str | None = None) -> None:
        super().__init__(name, margin=margin, scale=scale)
        check_numbers(">", scale=scale)
        if not 0 <= margin < math.pi:
            raise InputError(
                f"`margin` must be >= 0 and < pi. Received: margin={margin}. Give it in radians."
            )

    def row_costs(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the costs of cosines between embeddings and class vectors, -1 to 1."""
        sines = safe_root(1 - ops.square(scores))  # a cosine may be 1 or -1, or rounded beyond
        moved = ops.where(
            scores > -math.cos(self.margin),
            scores * math.cos(self.margin) - sines * math.sin(self.margin),
            scores - self.margin * math.sin(self.margin),
        )
        return _cross_entropy(targets, self.scale * ops.where(targets > 0, moved, scores))


@keras.saving.register_keras_serializable("siamese")
class CosFaceLoss(ClassLoss):
    """Cross-entropy over people after a margin is taken off the cosine to the right one.

    The logits are scale * (cosine - margin) for the person shown and scale * cosine for the others
    (Wang et al., CosFace, CVPR 2018, equation 4). The loss is the mean over rows.

    Args:
        margin: At least 0.
        scale: Above 0; larger is harder.
    """

    def __init__(self, margin: float = 0.35, scale: float = 64.0, name: str | None = None) -> None:
        super().__init__(name, margin=margin, scale=scale)
        check_numbers(">", scale=scale)
        check_numbers(">=", margin=margin)

    def row_costs(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the costs of cosines between embeddings and class vectors, -1 to 1."""
        return _cross_entropy(targets, self.scale * (scores - self.margin * targets))


class ClassHead(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A layer with a vector for each person, from embeddings to a number for each, in float32."""

    def __init__(self, classes: int, **arguments: Any) -> None:
        super().__init__(**{**arguments, "dtype": "float32"})
        if classes < 1:
            raise InputError(
                f"`classes` must be >= 1. Received: classes={classes}. Give the number of people."
            )
        self.classes = classes

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Returns `(rows, classes)`, of `(rows, dimensions)`."""
        return input_shape[0], self.classes

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("siamese")
class CosineClassifier(ClassHead):
    """Holds a vector for each person and gives the cosines of embeddings to all of them.

    The head that `ArcFaceLoss` and `CosFaceLoss` want: neither the length of an embedding nor that
    of a class vector counts (Wang et al., CosFace, CVPR 2018, equation 2). Leave it out of the
    model that is saved for use.

    Args:
        classes: Number of people; at least 1.
        **arguments: As for any layer (`name`, ...). Half precision is computed in float32.

    Raises:
        InputError: There is no class.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the class vectors, `(dimensions, classes)`."""
        self.vectors = self.add_weight(
            shape=(input_shape[-1], self.classes), initializer="glorot_uniform", name="vectors"
        )

    def call(self, embeddings: Tensor) -> Tensor:
        """Returns the cosines, `(rows, classes)`, float32, -1 to 1, of `(rows, dimensions)`."""
        rows = ops.normalize(embeddings, axis=-1)
        return ops.matmul(rows, ops.normalize(ops.convert_to_tensor(self.vectors), axis=0))


@keras.saving.register_keras_serializable("siamese")
class CentreDistances(ClassHead):
    """Holds a centre for each person and measures embeddings against all of them.

    A loss in Keras sees no weights of its own and a layer sees no labels. So this layer, a second
    head on the embedding, holds the centres and `CentreLoss` picks the right one:

        embeddings -> CentreDistances(classes) -> CentreLoss

    The centres are trainable: the gradient of the loss moves each centre to the mean of its
    embeddings, as the update of Wen et al. does, at the optimizer's own rate. They start at the
    origin. Leave this head out of the model that is saved for use.

    Args:
        classes: Number of people; at least 1.
        **arguments: As for any layer (`name`, ...). Half precision is computed in float32.

    Raises:
        InputError: There is no class, or the input is not a matrix of a known width.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the centres, `(classes, dimensions)`."""
        if len(input_shape) != 2 or input_shape[1] is None:
            raise InputError(
                "CentreDistances must be given embeddings (rows, dimensions). Received: shape "
                f"{input_shape}. Pool and flatten them first."
            )
        self.centres = self.add_weight(
            shape=(self.classes, input_shape[1]), initializer="zeros", name="centres"
        )

    def call(self, embeddings: Tensor) -> Tensor:
        """Returns squared Euclidean distances, `(rows, classes)`, float32, at least 0."""
        centres = ops.convert_to_tensor(self.centres)
        # Not pairwise_distances: its differences to 1,000 centres of 2,048 dimensions would take
        # 500 MB for 64 rows, and without a root nothing here needs exact zeros.
        return ops.relu(
            ops.sum(ops.square(embeddings), axis=1, keepdims=True)
            + ops.sum(ops.square(centres), axis=1)
            - 2 * ops.matmul(embeddings, ops.transpose(centres))
        )


@keras.saving.register_keras_serializable("siamese")
class CentreLoss(ClassLoss):
    """Draws embeddings to the centre of their person.

    Half the squared Euclidean distance of each embedding to its person's centre, averaged over rows
    (Wen, Zhang, Li and Qiao, A Discriminative Feature Learning Approach for Deep Face Recognition,
    ECCV 2016, equation 2, which sums). It pushes nobody apart: use it beside another loss, with a
    small weight (5e-4 in Luo et al. 2019).
    """

    def row_costs(self, targets: Tensor, scores: Tensor) -> Tensor:
        """Returns the costs of squared distances, the output of `CentreDistances`."""
        return ops.sum(targets * scores, axis=1) / 2
