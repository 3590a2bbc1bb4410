"""The Siamese pair model: one embedder, called on two images."""

from typing import Any

import keras
from keras import layers, ops

from siamese.distances import row_distances


def build_pair_model(
    embedder: keras.Model, same_different: keras.layers.Layer | None = None
) -> keras.Model:
    """Builds the pair model from an embedder; both branches are the one object.

    Args:
        embedder: Images to embeddings `(images, embedding_size)`.
        same_different: A trained layer from |f1 - f2| to the probability of *same*, if any.

    Returns:
        A model from `[first, second]`, images `(pairs, height, width, 3)` each, to a dict with
        `distance` `(pairs,)`, Euclidean, and, given the layer, `same` `(pairs, 1)`, 0 to 1.
    """
    first = keras.Input(embedder.input_shape[1:], name="first")
    second = keras.Input(embedder.input_shape[1:], name="second")
    embeddings = [embedder(first), embedder(second)]
    outputs = {"distance": RowDistances(dtype="float32", name="distance")(*embeddings)}
    if same_different is not None:
        outputs["same"] = same_different(ops.abs(layers.Subtract(name="difference")(embeddings)))
    return keras.Model([first, second], outputs, name="pair")


@keras.saving.register_keras_serializable("siamese")
class RowDistances(layers.Layer):  # type: ignore[misc]
    """Euclidean distances of the embeddings of each pair, with a gradient of 0 for equal ones."""

    def call(self, first: Any, second: Any) -> Any:
        """Takes `(pairs, dimensions)` twice, returns `(pairs,)`."""
        return row_distances(first, second)

    def compute_output_shape(self, first_shape: Any, second_shape: Any) -> Any:
        """One number a row."""
        del second_shape
        return (first_shape[0],)


@keras.saving.register_keras_serializable("siamese")
class ConsecutiveDifference(layers.Layer):  # type: ignore[misc]
    """|f1 - f2| of rows 2i and 2i+1: what the same/different head of a batch of pairs sees."""

    def call(self, embeddings: Any) -> Any:
        """Takes `(2 * pairs, dimensions)`, returns `(pairs, dimensions)`."""
        return ops.abs(embeddings[0::2] - embeddings[1::2])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Half as many rows."""
        rows = None if input_shape[0] is None else input_shape[0] // 2
        return (rows, *input_shape[1:])
