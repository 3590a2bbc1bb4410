"""Losses that weigh all pairs of a batch by how similar they are.

Each measures the cosine similarity of embeddings, so that these need not have length 1, and each is
the mean over *anchors*: rows that have a positive (another row with the same label) and a negative
(a row with another label). Without any anchor it is 0.
"""

import keras
from keras import ops

from siamese.distances import Tensor
from siamese.losses.batch import AnchorLoss, check_numbers, logsumexp_where, max_where, min_where


@keras.saving.register_keras_serializable("siamese")
class InfoNCELoss(AnchorLoss):
    """Picks the positive out of all negatives by a softmax over similarities.

    With s the cosine similarity and t the temperature, an anchor i and its positive j cost

        -log(exp(s_ij / t) / (exp(s_ij / t) + sum over negatives k of exp(s_ik / t)));

    an anchor costs the mean over its positives. (van den Oord, Li and Vinyals, Representation
    Learning with Contrastive Predictive Coding, 2018, equation 4; with one positive an anchor it is
    the N-pair loss of Sohn, NIPS 2016, equation 6, on unit vectors.)

    Args:
        temperature: Above 0; smaller looks at fewer, more similar negatives.
    """

    def __init__(self, temperature: float = 0.1, name: str | None = None) -> None:
        super().__init__(name, temperature=temperature)
        check_numbers(">", temperature=temperature)

    def anchor_costs(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Returns the cost of each anchor."""
        logits = (1 - distances) / self.temperature
        costs = ops.softplus(logsumexp_where(logits, negative)[:, None] - logits)
        positives = ops.sum(ops.cast(positive, costs.dtype), axis=1)
        return ops.sum(ops.where(positive, costs, 0), axis=1) / ops.maximum(positives, 1)


@keras.saving.register_keras_serializable("siamese")
class MultiSimilarityLoss(AnchorLoss):
    """Mines the informative pairs of each anchor and weighs them by their similarities.

    A negative is kept when it is more similar than the least similar positive less epsilon, a
    positive when it is less similar than the most similar negative plus epsilon. With s the cosine
    similarity, an anchor costs

        log(1 + sum over kept positives of exp(-alpha (s - base))) / alpha
        + log(1 + sum over kept negatives of exp(beta (s - base))) / beta.

    (Wang, Han, Huang, Dong and Scott, Multi-Similarity Loss with General Pair Weighting for Deep
    Metric Learning, CVPR 2019, equations 10, 11 and 15. The paper averages over all rows; here a
    row without a positive or a negative is no anchor.)

    Args:
        alpha: Sharpness for positives; above 0.
        beta: Sharpness for negatives; above 0.
        base: Similarity that positives should exceed and negatives should not (the paper's lambda).
        epsilon: Slack of the mining; at least 0.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        epsilon: float = 0.1,
        name: str | None = None,
    ) -> None:
        super().__init__(name, alpha=alpha, beta=beta, base=base, epsilon=epsilon)
        check_numbers(">", alpha=alpha, beta=beta)
        check_numbers(">=", epsilon=epsilon)

    def anchor_costs(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Returns the cost of each anchor."""
        similarities = 1 - distances
        least_positive = min_where(similarities, positive)[:, None]
        most_negative = max_where(similarities, negative)[:, None]
        kept_negative = ops.logical_and(negative, similarities > least_positive - self.epsilon)
        kept_positive = ops.logical_and(positive, similarities < most_negative + self.epsilon)
        beyond_base = similarities - self.base
        return (
            ops.softplus(logsumexp_where(-self.alpha * beyond_base, kept_positive)) / self.alpha
            + ops.softplus(logsumexp_where(self.beta * beyond_base, kept_negative)) / self.beta
        )


@keras.saving.register_keras_serializable("siamese")
class CircleLoss(AnchorLoss):
    """Weighs each similarity by how far it is from its optimum.

    With s the cosine similarity, an anchor costs

        log(1 + sum over negatives of exp(scale w_n (s_n - margin))
              * sum over positives of exp(-scale w_p (s_p - 1 + margin))),
        w_n = max(0, s_n + margin), w_p = max(0, 1 + margin - s_p).

    (Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020,
    equations 6 and 8.) `keras.losses.Circle` has the same value for anchors on embeddings of length
    1. Ours differs in its gradient, where the weights w are constants as the paper has them, so
    that a pair is pulled in proportion to its weight; and it normalises embeddings itself.

    Args:
        scale: The paper's gamma; above 0.
        margin: The paper's m; from 0 on.
    """

    def __init__(self, scale: float = 128.0, margin: float = 0.25, name: str | None = None) -> None:
        super().__init__(name, scale=scale, margin=margin)
        check_numbers(">", scale=scale)
        check_numbers(">=", margin=margin)

    def anchor_costs(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Returns the cost of each anchor."""
        similarities = 1 - distances
        constants = ops.stop_gradient(similarities)
        positive_logits = ops.relu(1 + self.margin - constants) * (1 - self.margin - similarities)
        negative_logits = ops.relu(constants + self.margin) * (similarities - self.margin)
        # The log of a product of sums is the sum of their logs: exp(128) is beyond float32.
        return ops.softplus(
            logsumexp_where(self.scale * positive_logits, positive)
            + logsumexp_where(self.scale * negative_logits, negative)
        )
