"""Computes embeddings behind a `Model`: what a network must do, and how Keras does it."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.models.checkpoint import load_checkpoint


class Network:
    """Turns images into embeddings, with what the file says about itself.

    Attributes:
        metadata: What the file says about itself.
        image_size: Height and width in pixels.
        dimensions: Of an embedding.
        runtime: The package that computes: "tensorflow", "jax", "onnxruntime", "openvino".
        tells_channels: Whether the file itself says in which order it takes colours.
    """

    metadata: dict[str, Any]
    image_size: tuple[int, int]
    dimensions: int
    runtime: str
    tells_channels: bool = True

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch `(images, *image_size, 3)`, RGB 0 to 255, to `(images, dimensions)`."""
        raise NotImplementedError

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch by the way that gives the first answer soonest."""
        return self.run(images)


class KerasNetwork(Network):
    """A `.keras` file, computed by Keras on any backend."""

    def __init__(self, path: Path) -> None:
        loaded = load_checkpoint(path)
        import keras

        self.runtime = str(keras.config.backend())
        self.metadata = loaded.metadata
        self.image_size = loaded.image_size
        self.embedder = loaded.embedder
        self.dimensions = int(self.embedder.output_shape[-1])

    def run(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch, by a function that is compiled at the first call and kept."""
        return np.asarray(self._compiled(images))

    def run_once(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Embeds a batch without compiling: for a single pair that is three times faster."""
        if self.runtime != "tensorflow" or "_compiled" in vars(self):
            return self.run(images)
        return np.asarray(self.embedder(images, training=False))

    @functools.cached_property
    def _compiled(self) -> Any:
        if self.runtime != "tensorflow":
            return self.embedder.predict_on_batch
        import tensorflow as tf

        # One trace for every batch size; `predict_on_batch` would trace again for the last batch.
        signature = [tf.TensorSpec((None, *self.image_size, 3), tf.float32)]
        return tf.function(functools.partial(self.embedder, training=False), signature)
