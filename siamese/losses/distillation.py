"""Losses on (embeddings of a teacher, embeddings of the student): what one network tells another.

The teacher stands where other losses have labels, so no image needs one. Its embeddings take part
as they are, without a gradient of their own.
"""

import keras
from keras import ops

from siamese.distances import Tensor, pairwise_distances, row_distances
from siamese.errors import InputError
from siamese.losses.batch import BatchLoss, mean_where


@keras.saving.register_keras_serializable("siamese")
class EmbeddingDistillationLoss(BatchLoss):
    """Pulls each embedding to the direction of the teacher's: 1 - cos(teacher, student).

    The mean over rows, 0 to 2. An embedding of zeros costs 1 and is not moved.
    """

    def call(self, teacher: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the cost of each row, `(rows,)`; both sides are `(rows, dimensions)`."""
        return row_distances(teacher, embeddings, "cosine")


@keras.saving.register_keras_serializable("siamese")
class RelationalDistillationLoss(BatchLoss):
    """Has the distances in a batch keep the proportions that they have for the teacher.

    With d_ij the Euclidean distance of two rows and m its mean over the pairs of different rows,

        huber(d_ij / m of the teacher - d_ij / m of the student),
        huber(x) = x^2 / 2 where |x| <= 1, else |x| - 1 / 2.

    (Park, Kim, Lu and Cho, Relational Knowledge Distillation, CVPR 2019, the distance-wise loss of
    section 3.2.1; the paper sums over pairs.) The mean over pairs of different rows, 0 without any.
    The dimensions of the two may differ.
    """

    def call(self, teacher: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the mean over pairs, `(1,)`; both sides are `(rows, own dimensions)`."""
        check_teacher(teacher, embeddings)
        pairs = ops.logical_not(ops.eye(ops.shape(embeddings)[0], dtype="bool"))
        gaps = ops.abs(_proportions(teacher, pairs) - _proportions(embeddings, pairs))
        return mean_where(ops.where(gaps <= 1, ops.square(gaps) / 2, gaps - 0.5), pairs)


@keras.saving.register_keras_serializable("siamese")
class SimilarityPreservingLoss(BatchLoss):
    """Has the similarities of each row to all rows keep the profile that the teacher sees.

    With F the embeddings, G = F F^T and each row of G divided by its length,

        |G of the teacher - G of the student|^2 / rows^2,

    the squares of all entries summed. (Tung and Mori, Similarity-Preserving Knowledge Distillation,
    ICCV 2019, equations 1 to 3.) The dimensions of the two may differ.
    """

    def call(self, teacher: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the mean over all entries, `(1,)`; both sides are `(rows, own dimensions)`."""
        check_teacher(teacher, embeddings)
        squares = ops.square(_profiles(teacher) - _profiles(embeddings))
        return mean_where(squares, ops.ones_like(squares, dtype="bool"))


def check_teacher(teacher: Tensor, embeddings: Tensor) -> None:
    """Checks that a teacher's embeddings are of as many rows as the student's.

    Raises:
        InputError: They are not two matrices, or their numbers of rows, where known, differ.
    """
    shapes = tuple(teacher.shape), tuple(embeddings.shape)
    counts = {shape[0] for shape in shapes if shape and shape[0] is not None}
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or len(counts) > 1:
        raise InputError(
            "Teacher and student must give one embedding a row each, (rows, dimensions). Received: "
            f"shapes {shapes[0]} and {shapes[1]}. Give both of them the same images."
        )


def _proportions(embeddings: Tensor, pairs: Tensor) -> Tensor:
    """Distances over their mean; zeros where all embeddings are equal."""
    distances = pairwise_distances(embeddings)
    mean = mean_where(distances, pairs)
    return distances / ops.where(mean > 0, mean, 1)


def _profiles(embeddings: Tensor) -> Tensor:
    """The Gram matrix with rows of length 1; rows of zeros stay zeros."""
    gram = ops.matmul(embeddings, ops.transpose(embeddings))
    squares = ops.sum(ops.square(gram), axis=1, keepdims=True)
    is_positive = squares > 0  # the slope of sqrt at 0 is infinite
    return gram / ops.sqrt(ops.where(is_positive, squares, 1))
