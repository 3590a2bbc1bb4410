"""One tensor for several readers, with gradients that two runs of a seed share to the last bit."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("siamese")
class Fork(layers.Layer):  # type: ignore[misc]
    """Hands a tensor to several readers, and adds up their gradients in a fixed order.

    Where three or more gradients meet at a tensor, TensorFlow adds them up in its kernel `AddN`,
    beginning with the first one that may be overwritten at that moment. Which one that is depends
    on the timing of threads, and rounding on the order: without this, two runs of a seed differ in
    the last bit of the first gradient and in the fifth digit of the loss after an epoch. Here the
    gradients come back as one stack, which one sum adds up. On JAX, whose compiler fixes
    the order, the readers get the tensor itself.

    Args:
        readers: How many there are.
    """

    def __init__(self, readers: int, **options: Any) -> None:
        super().__init__(**{"dtype": "float32", **options})
        self.readers = readers

    def call(self, features: Any) -> list[Any]:
        """Takes `(images, dimensions)`, returns it `readers` times."""
        if keras.backend.backend() != "tensorflow":
            return [features] * self.readers
        copies = ops.tile(features[None], (self.readers, 1, 1))
        return list(ops.unstack(copies, self.readers))

    def compute_output_shape(self, shape: Any) -> list[Any]:
        """The shape, `readers` times."""
        return [shape] * self.readers

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {**super().get_config(), "readers": self.readers}
