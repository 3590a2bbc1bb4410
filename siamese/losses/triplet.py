"""Losses on triplets: the anchor nearer to its positive than to its negative."""

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
from siamese.losses.batch import (
    AnchorLoss,
    BatchLoss,
    check_numbers,
    check_rows,
    has_both,
    max_where,
    mean_where,
    min_where,
    pair_masks,
)

Mining: TypeAlias = Literal["explicit", "batch_all", "batch_hard", "semi_hard"]


def triplet_violations(
    labels: Tensor, embeddings: Tensor, mining: Mining, distance: Distance
) -> tuple[Tensor, Tensor]:
    """Mines a batch for triplets and measures by how much each is on the wrong side.

    Args:
        labels: Numbers of people, `(rows,)`.
        embeddings: `(rows, dimensions)`.
        mining: As in `TripletLoss`.
        distance: The kind of distance.

    Returns:
        The gaps, distance to the positive less distance to the negative, float32, `(rows / 3,)` for
        `explicit`, `(anchors, positives)` for `semi_hard`, `(anchors, positives, negatives)` for
        `batch_all`, `(anchors,)` for `batch_hard`; and where there is such a triplet, the same
        shape, bool. Elsewhere the gap is 0.

    Raises:
        InputError: There is not one label a row, or `explicit` rows do not come in threes.
    """
    if mining == "explicit":
        check_rows(labels, embeddings, group=3)
        anchors, positives, negatives = embeddings[0::3], embeddings[1::3], embeddings[2::3]
        violations = row_distances(anchors, positives, distance) - row_distances(
            anchors, negatives, distance
        )
        return violations, ops.ones_like(violations, dtype="bool")

    labels = check_rows(labels, embeddings)
    distances = pairwise_distances(embeddings, distance=distance)
    positive, negative = pair_masks(labels)
    if mining == "batch_hard":
        exists = has_both(positive, negative)
        to_positive = max_where(distances, positive)
        to_negative = min_where(distances, negative)
    elif mining == "batch_all":
        exists = ops.logical_and(positive[:, :, None], negative[:, None, :])
        to_positive = distances[:, :, None]
        to_negative = distances[:, None, :]
    else:
        exists = ops.logical_and(positive, ops.any(negative, axis=1, keepdims=True))
        to_positive = distances
        to_negative = _semi_hard_distances(distances, negative)
    return ops.where(exists, to_positive - to_negative, 0), exists


def _semi_hard_distances(distances: Tensor, negative: Tensor) -> Tensor:
    """Distance to the semi-hard negative for each anchor and positive, `(rows, rows)`."""
    beyond_positive = ops.logical_and(
        negative[:, None, :], distances[:, None, :] > distances[:, :, None]
    )
    nearest_beyond = min_where(distances[:, None, :], beyond_positive)
    farthest = max_where(distances, negative)[:, None]
    return ops.where(ops.any(beyond_positive, axis=2), nearest_beyond, farthest)


@keras.saving.register_keras_serializable("siamese")
class TripletLoss(BatchLoss):
    """Wants each anchor nearer to its positive than to its negative, by a margin.

    A triplet whose distances to its positive and its negative are Dp and Dn costs
    max(0, margin + Dp - Dn), or log(1 + exp(Dp - Dn)) with the soft margin. In a batch, the
    positives of a row are the other rows with its label, its negatives the rows with another label.
    Which triplets count:

    - `explicit`: rows 3i, 3i + 1 and 3i + 2 are anchor, positive and negative; labels are not read.
      Mean over these triplets.
    - `batch_all`: all of them. Mean over the triplets that cost something: easy ones would drown
      them (Hermans, Beyer and Leibe, In Defense of the Triplet Loss for Person Re-Identification,
      2017, equation 6 and "BA != 0" in section 2). With the soft margin, over all.
    - `batch_hard`: one an anchor, of its farthest positive and its nearest negative. Mean over
      anchors that have both (the same paper, equation 5).
    - `semi_hard`: one an anchor and positive, with the nearest negative that is farther than the
      positive, or the farthest negative when there is none. Mean over anchors and positives
      (Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015, equation 4).

    A batch without any triplet costs 0. `batch_all` and `semi_hard` need memory for rows^3 numbers:
    67 MB for 256 rows.

    Args:
        margin: At least 0, or `"soft"`.
        mining: Which triplets count.
        distance: `euclidean`, `squared_euclidean` or `cosine`.
    """

    def __init__(
        self,
        margin: float | Literal["soft"] = 0.3,
        mining: Mining = "batch_hard",
        distance: Distance = "euclidean",
        name: str | None = None,
    ) -> None:
        super().__init__(name, margin=margin, mining=mining, distance=distance)
        if isinstance(margin, str) and margin != "soft":
            raise InputError(f"`margin` must be a number >= 0 or 'soft'. Received: {margin!r}.")
        if margin != "soft":
            check_numbers(">=", margin=margin)
        if mining not in get_args(Mining):
            raise InputError(
                f"`mining` must be one of {', '.join(get_args(Mining))}. Received: {mining!r}."
            )
        check_distance(distance)

    def call(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """Returns the mean over triplets, `(1,)`; labels and embeddings as `triplet_violations`."""
        violations, exists = triplet_violations(labels, embeddings, self.mining, self.distance)
        if self.margin == "soft":
            return mean_where(ops.softplus(violations), exists)
        costs = ops.relu(self.margin + violations)
        if self.mining == "batch_all":
            exists = ops.logical_and(exists, costs > 0)
        return mean_where(costs, exists)


@keras.saving.register_keras_serializable("siamese")
class WeightedTripletLoss(AnchorLoss):
    """Weighs all positives and negatives of an anchor by their distances; has no margin.

    With Dp and Dn the distances of an anchor to its positives and its negatives, it costs

        log(1 + exp(sum of w_p Dp - sum of w_n Dn)), w_p = softmax(Dp), w_n = softmax(-Dn),

    each softmax over the anchor's positives or negatives: far positives and near negatives weigh
    most. The loss is the mean over anchors that have both, 0 when there is none. (The weighted
    regularisation triplet of Ye et al., Deep Learning for Person Re-Identification: A Survey and
    Outlook, TPAMI 2022, section 4; their code counts an anchor as its own positive, the paper and
    this loss do not.)

    Args:
        distance: `euclidean`, `squared_euclidean` or `cosine`.
    """

    def __init__(self, distance: Distance = "euclidean", name: str | None = None) -> None:
        super().__init__(name, distance=distance)
        check_distance(distance)

    def anchor_costs(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Returns the cost of each anchor."""
        to_positives = _weighted_distances(distances, 1, positive)
        to_negatives = _weighted_distances(distances, -1, negative)
        return ops.softplus(to_positives - to_negatives)


def _weighted_distances(distances: Tensor, sign: int, mask: Tensor) -> Tensor:
    """Sums each row's distances by the softmax of themselves times a sign, where the mask is."""
    distances = ops.where(mask, distances, 0)
    # -1e30 instead of -inf: a row without any place would divide 0 by 0.
    weights = ops.softmax(ops.where(mask, sign * distances, -1e30), axis=1)
    return ops.sum(weights * distances, axis=1)
