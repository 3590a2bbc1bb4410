"""What is watched beside the loss, on the batch that the step has computed anyway."""

from typing import Any

import keras
from keras import ops

from siamese.losses import TripletLoss
from siamese.losses.triplet import triplet_violations


def watch_metrics(loss: keras.losses.Loss) -> list[keras.metrics.Metric]:
    """The metrics of the output that a metric loss sees.

    Args:
        loss: The metric loss.

    Returns:
        The spread, and for triplets with a margin the share that is active.
    """
    metrics: list[keras.metrics.Metric] = [EmbeddingSpread()]
    if isinstance(loss, TripletLoss) and loss.margin != "soft" and loss.mining != "batch_all":
        metrics.append(ActiveShare(loss.margin, loss.mining, loss.distance))
    return metrics


@keras.saving.register_keras_serializable("siamese")
class EmbeddingSpread(keras.metrics.Mean):  # type: ignore[misc]
    """How far the embeddings of a batch lie from their mean: sqrt(mean |f - mean f|^2).

    0 when all are equal: the network has collapsed and tells nobody apart. Unit vectors in all
    directions have about 1. The mean over the batches since the epoch began.

    Args:
        name: The name in the logs.
        **kwargs: As every Keras metric.
    """

    def __init__(self, name: str = "spread", **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Adds a batch; `y_pred` are its embeddings, `(images, dimensions)`."""
        del y_true, sample_weight
        embeddings = ops.cast(y_pred, "float32")
        offsets = embeddings - ops.mean(embeddings, axis=0, keepdims=True)
        return super().update_state(ops.sqrt(ops.mean(ops.sum(ops.square(offsets), axis=1))))

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("siamese")
class ActiveShare(keras.metrics.Mean):  # type: ignore[misc]
    """The share of a batch's triplets that cost something, 0 to 1; at 0 nothing is learnt.

    The mean over the batches since the epoch began.

    Args:
        margin: Of the triplet loss.
        mining: Of the triplet loss.
        distance: Of the triplet loss.
        name: The name in the logs.
        **kwargs: As every Keras metric.
    """

    def __init__(
        self, margin: float, mining: Any, distance: Any, name: str = "active", **kwargs: Any
    ) -> None:
        # Labels in float32 stay whole up to 2^24; a shorter type would fold people together.
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        self.margin = margin
        self.mining = mining
        self.distance = distance

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Adds a batch: `y_true` the numbers of people, `y_pred` the embeddings."""
        del sample_weight
        violations, exists = triplet_violations(
            y_true, ops.cast(y_pred, "float32"), self.mining, self.distance
        )
        active = ops.logical_and(exists, self.margin + violations > 0)
        count = ops.sum(ops.cast(exists, "float32"))
        return super().update_state(ops.sum(ops.cast(active, "float32")) / ops.maximum(count, 1.0))

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {
            "margin": self.margin,
            "mining": self.mining,
            "distance": self.distance,
            "name": self.name,
            "dtype": self.dtype,
        }
