"""The Siamese pair model: one embedder, called on two images."""

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from siamese.distances import row_distances
from siamese.errors import InputError
from siamese.models.checkpoint import load_checkpoint
from siamese.models.transfer import model_path


def pair_model(model: str | Path = "pretrained") -> keras.Model:
    """Makes one model of a model file's embedder, called twice, and of its calibration.

    It is a Keras model like any other: `save` and `export` write it whole, weights, preprocessing
    and calibration, and `keras.saving.load_model` reads it once `siamese.pair_model` was imported.

    Args:
        model: The path of a `.keras` file that training wrote; or `pretrained`, the one that comes
            with the package.

    Returns:
        A model from `[first, second]`, images `(pairs, height, width, 3)` each, RGB 0 to 255 of any
        size, to a dict of `distance` `(pairs,)`, Euclidean, and `probability` `(pairs,)`, 0 to 1:
        of one person, where both answers were equally likely before.

    Raises:
        InputError: The file is missing, damaged or not a model, or has no calibration.
    """
    loaded = load_checkpoint(model_path(str(model)))
    calibration = loaded.metadata.get("calibration")
    if calibration is None:
        raise InputError(f"{loaded.path}: has no calibration. Give the model of a finished run.")
    return build_pair_model(loaded.embedder, calibration["slope"], calibration["centre"])


def build_pair_model(embedder: keras.Model, slope: float, centre: float) -> keras.Model:
    """Builds the pair model from an embedder, as both branches, and a calibration's curve."""
    first = keras.Input(embedder.input_shape[1:], name="first")
    second = keras.Input(embedder.input_shape[1:], name="second")
    distance = RowDistances(dtype="float32", name="distance")(embedder(first), embedder(second))
    probability = SameProbability(slope, centre, dtype="float32", name="probability")(distance)
    outputs = {"distance": distance, "probability": probability}
    return keras.Model([first, second], outputs, name="pair")


@keras.saving.register_keras_serializable("siamese")
class RowDistances(layers.Layer):  # type: ignore[misc]
    """Measures Euclidean distances of the embeddings of each pair; of equal ones the slope is 0."""

    def call(self, first: Any, second: Any) -> Any:
        """Takes `(pairs, dimensions)` twice, returns `(pairs,)`."""
        return row_distances(first, second)

    def compute_output_shape(self, first_shape: Any, second_shape: Any) -> Any:
        """Returns the shape of one number a row."""
        del second_shape
        return (first_shape[0],)


@keras.saving.register_keras_serializable("siamese")
class SameProbability(layers.Layer):  # type: ignore[misc]
    """Turns distances into 1 / (1 + exp(slope (distance - centre))), how probable one person is."""

    def __init__(self, slope: float, centre: float, **options: Any) -> None:
        super().__init__(**options)
        self.slope = slope
        self.centre = centre

    def call(self, distances: Any) -> Any:
        """Takes `(pairs,)`, returns `(pairs,)`."""
        return ops.sigmoid(self.slope * (self.centre - distances))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        return {**super().get_config(), "slope": self.slope, "centre": self.centre}


@keras.saving.register_keras_serializable("siamese")
class ConsecutiveDifference(layers.Layer):  # type: ignore[misc]
    """|f1 - f2| of rows 2i and 2i+1: what the same/different head of a batch of pairs sees."""

    def call(self, embeddings: Any) -> Any:
        """Takes `(2 * pairs, dimensions)`, returns `(pairs, dimensions)`."""
        return ops.abs(embeddings[0::2] - embeddings[1::2])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of half as many rows."""
        rows = None if input_shape[0] is None else input_shape[0] // 2
        return (rows, *input_shape[1:])
