"""Losses that treat each person of the training set as a class, and the centre loss.

They serve training alone: a person that the classes do not know has no right answer, so a label
outside 0..classes-1 gives NaN, on every backend, rather than a number that means nothing.
"""

import math
from typing import Any

import keras
from keras import ops

from siamese.distances import Tensor
from siamese.errors import InputError
from siamese.losses.batch import BatchLoss, check_above_zero, check_at_least_zero


@keras.saving.register_keras_serializable("siamese")
class IdentityLoss(BatchLoss):
    """Cross-entropy over people, with smoothed labels.

    The target of a row is 1 - e + e / classes for its person and e / classes for everyone else
    (Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, section
    7); the loss is the mean over rows. It is Keras's categorical cross-entropy on numbers in place
    of one-hot labels; Keras's own on numbers has no smoothing.

    Args:
        label_smoothing: The e above, from 0 to below 1.
        name: The loss's name.

    Raises:
        InputError: The smoothing is out of its range, or there is not one label a row.
    """

    def __init__(self, label_smoothing: float = 0.1, name: str = "identity_loss") -> None:
        super().__init__(name)
        if not 0 <= label_smoothing < 1:
            raise InputError(
                "`label_smoothing` must be >= 0 and < 1. Received: "
                f"label_smoothing={label_smoothing}. Give 0.1, or 0 for none."
            )
        self.label_smoothing = label_smoothing

    def call(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            labels: Numbers of people, `(rows,)`, 0..classes-1.
            logits: Unbounded scores, `(rows, classes)`.

        Returns:
            One value a row, `(rows,)`.
        """
        targets = _one_hot(labels, logits)
        costs = keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=self.label_smoothing
        )
        return _nan_without_class(costs, targets)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this loss again."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("siamese")
class ArcFaceLoss(BatchLoss):
    """Cross-entropy over people after a margin is added to the angle to the right one.

    With t the angle between an embedding and its person's class vector, the logits are
    scale * cos(t + margin) for that person and scale * cos(angle) for the others (Deng, Guo, Xue
    and Zafeiriou, ArcFace, CVPR 2019, equation 3). Where t + margin would pass 180 degrees and the
    cosine would rise again, cos(t) - margin * sin(margin) goes on falling, as in the authors' code.
    The loss is the mean over rows.

    Args:
        margin: Radians, from 0 to below pi.
        scale: Above 0; larger is harder.
        name: The loss's name.

    Raises:
        InputError: An argument is out of its range, or there is not one label a row.
    """

    def __init__(
        self, margin: float = 0.5, scale: float = 64.0, name: str = "arc_face_loss"
    ) -> None:
        super().__init__(name)
        check_above_zero(scale=scale)
        if not 0 <= margin < math.pi:
            raise InputError(
                f"`margin` must be >= 0 and < pi. Received: margin={margin}. Give it in radians."
            )
        self.margin = margin
        self.scale = scale

    def call(self, labels: Tensor, cosines: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            labels: Numbers of people, `(rows,)`, 0..classes-1.
            cosines: Cosines between embeddings and class vectors, `(rows, classes)`, -1 to 1.

        Returns:
            One value a row, `(rows,)`.
        """
        targets = _one_hot(labels, cosines)
        # sqrt has an infinite slope at 0, where a cosine is 1 or -1 (or rounded beyond): see
        # distances.py.
        squared_sines = 1 - ops.square(cosines)
        is_inside = squared_sines > 0
        sines = ops.where(is_inside, ops.sqrt(ops.where(is_inside, squared_sines, 1)), 0)
        moved = ops.where(
            cosines > -math.cos(self.margin),
            cosines * math.cos(self.margin) - sines * math.sin(self.margin),
            cosines - self.margin * math.sin(self.margin),
        )
        return _cross_entropy(targets, self.scale * ops.where(targets > 0, moved, cosines))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this loss again."""
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable("siamese")
class CosFaceLoss(BatchLoss):
    """Cross-entropy over people after a margin is taken off the cosine to the right one.

    The logits are scale * (cosine - margin) for the person shown and scale * cosine for the others
    (Wang et al., CosFace, CVPR 2018, equation 4). The loss is the mean over rows.

    Args:
        margin: At least 0.
        scale: Above 0; larger is harder.
        name: The loss's name.

    Raises:
        InputError: An argument is out of its range, or there is not one label a row.
    """

    def __init__(
        self, margin: float = 0.35, scale: float = 64.0, name: str = "cos_face_loss"
    ) -> None:
        super().__init__(name)
        check_above_zero(scale=scale)
        check_at_least_zero(margin=margin)
        self.margin = margin
        self.scale = scale

    def call(self, labels: Tensor, cosines: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            labels: Numbers of people, `(rows,)`, 0..classes-1.
            cosines: Cosines between embeddings and class vectors, `(rows, classes)`, -1 to 1.

        Returns:
            One value a row, `(rows,)`.
        """
        targets = _one_hot(labels, cosines)
        return _cross_entropy(targets, self.scale * (cosines - self.margin * targets))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this loss again."""
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable("siamese")
class CosineClassifier(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
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

    def __init__(self, classes: int, **arguments: Any) -> None:
        super().__init__(**{**arguments, "dtype": "float32"})
        _check_classes(classes)
        self.classes = classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the class vectors, `(dimensions, classes)`.

        Args:
            input_shape: `(rows, dimensions)`.
        """
        self.vectors = self.add_weight(
            shape=(input_shape[-1], self.classes), initializer="glorot_uniform", name="vectors"
        )

    def call(self, embeddings: Tensor) -> Tensor:
        """Measures the cosines.

        Args:
            embeddings: `(rows, dimensions)`.

        Returns:
            Cosines, `(rows, classes)`, float32, -1 to 1.
        """
        rows = ops.normalize(embeddings, axis=-1)
        return ops.matmul(rows, ops.normalize(ops.convert_to_tensor(self.vectors), axis=0))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Returns `(rows, classes)`.

        Args:
            input_shape: `(rows, dimensions)`.
        """
        return (input_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("siamese")
class CentreDistances(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
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

    def __init__(self, classes: int, **arguments: Any) -> None:
        super().__init__(**{**arguments, "dtype": "float32"})
        _check_classes(classes)
        self.classes = classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the centres, `(classes, dimensions)`.

        Args:
            input_shape: `(rows, dimensions)`.
        """
        if len(input_shape) != 2 or input_shape[1] is None:
            raise InputError(
                "CentreDistances must be given embeddings (rows, dimensions). Received: shape "
                f"{input_shape}. Pool and flatten them first."
            )
        self.centres = self.add_weight(
            shape=(self.classes, input_shape[1]), initializer="zeros", name="centres"
        )

    def call(self, embeddings: Tensor) -> Tensor:
        """Measures the distances.

        Args:
            embeddings: `(rows, dimensions)`.

        Returns:
            Squared Euclidean distances, `(rows, classes)`, float32, at least 0.
        """
        centres = ops.convert_to_tensor(self.centres)
        # Not pairwise_distances: its differences to 1,000 centres of 2,048 dimensions would take
        # 500 MB for 64 rows, and without a root nothing here needs exact zeros.
        return ops.relu(
            ops.sum(ops.square(embeddings), axis=1, keepdims=True)
            + ops.sum(ops.square(centres), axis=1)
            - 2 * ops.matmul(embeddings, ops.transpose(centres))
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Returns `(rows, classes)`.

        Args:
            input_shape: `(rows, dimensions)`.
        """
        return input_shape[0], self.classes

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("siamese")
class CentreLoss(BatchLoss):
    """Draws embeddings to the centre of their person.

    Half the squared Euclidean distance of each embedding to its person's centre, averaged over rows
    (Wen, Zhang, Li and Qiao, A Discriminative Feature Learning Approach for Deep Face Recognition,
    ECCV 2016, equation 2, which sums). It pushes nobody apart: use it beside another loss, with a
    small weight (5e-4 in Luo et al. 2019).

    Args:
        name: The loss's name.

    Raises:
        InputError: There is not one label a row.
    """

    def __init__(self, name: str = "centre_loss") -> None:
        super().__init__(name)

    def call(self, labels: Tensor, distances: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            labels: Numbers of people, `(rows,)`, 0..classes-1.
            distances: The output of `CentreDistances`, `(rows, classes)`.

        Returns:
            One value a row, `(rows,)`.
        """
        targets = _one_hot(labels, distances)
        return _nan_without_class(ops.sum(targets * distances, axis=1) / 2, targets)


def _check_classes(classes: int) -> None:
    if classes < 1:
        raise InputError(
            f"`classes` must be >= 1. Received: classes={classes}. Give the number of people."
        )


def _one_hot(labels: Tensor, scores: Tensor) -> Tensor:
    """One-hot labels, of the shape of the scores; zeros for a label that is no class."""
    labels = ops.reshape(labels, (-1,))
    if len(scores.shape) != 2 or scores.shape[1] is None:
        raise InputError(
            f"Scores must be a matrix (rows, classes). Received: shape {tuple(scores.shape)}. "
            "End the head with one output a person."
        )
    count, rows = labels.shape[0], scores.shape[0]
    if count is not None and rows is not None and count != rows:
        raise InputError(
            f"There must be one label a row of the scores. Received: {count} labels and {rows} "
            "rows. Give the number of the person, not a one-hot vector."
        )
    return ops.one_hot(ops.cast(labels, "int32"), scores.shape[1], dtype=scores.dtype)


def _cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    costs = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
    return _nan_without_class(costs, targets)


def _nan_without_class(costs: Tensor, targets: Tensor) -> Tensor:
    return ops.where(ops.any(targets > 0, axis=1), costs, float("nan"))
