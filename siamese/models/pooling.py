"""From feature maps to one feature an image."""

import math
from typing import Any, Literal, TypeAlias, get_args

import keras
from keras import layers, ops

from siamese.errors import InputError

Pooling: TypeAlias = Literal["average", "gem"]


def build_pooling(kind: Pooling) -> layers.Layer:
    """The layer that pools feature maps `(images, height, width, channels)`, in float32.

    Args:
        kind: `average`, or `gem`: `GeneralisedMean`.

    Raises:
        InputError: It is neither.
    """
    if kind not in get_args(Pooling):
        raise InputError(
            f"`pooling` must be one of {', '.join(get_args(Pooling))}. Received: {kind}. Take one "
            "of them."
        )
    if kind == "gem":
        return GeneralisedMean(dtype="float32", name="pool")
    return layers.GlobalAveragePooling2D(dtype="float32", name="pool")


@keras.saving.register_keras_serializable("siamese")
class GeneralisedMean(layers.Layer):  # type: ignore[misc]
    """Pools a feature map by (mean of max(x, epsilon)^p)^(1/p), with a power p that is learnt.

    p = 1 is the average, p towards infinity the maximum (Radenovic, Tolias and Chum, Fine-tuning
    CNN Image Retrieval with No Human Annotation, TPAMI 2018, equation 3; one p for all channels, as
    there).

    Args:
        power: Where p starts; 3 in the paper.
        epsilon: Smaller values count as this one, since 0 has no slope for a power below 1.
        **arguments: As for any layer (`name`, `dtype`, ...).
    """

    def __init__(self, power: float = 3.0, epsilon: float = 1e-6, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.power = power
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Creates p."""
        del input_shape
        self.p = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.power), name="power"
        )

    def call(self, features: Any) -> Any:
        """Pools `(images, height, width, channels)` to `(images, channels)`."""
        # In logarithms: 1e-6 to a power beyond 6 is no number of float32.
        logarithms = self.p * ops.log(ops.maximum(features, self.epsilon))
        places = features.shape[1] * features.shape[2]
        sums = ops.logsumexp(logarithms, axis=(1, 2))
        return ops.exp((sums - math.log(places)) / self.p)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(images, channels)`."""
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {**super().get_config(), "power": self.power, "epsilon": self.epsilon}
