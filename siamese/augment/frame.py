"""The frame that all layers of this folder share."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops


class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """A layer that changes images in training and hands them on as they are otherwise.

    Args:
        seed: Start of the random numbers; two layers of one seed draw the same.
        **kwargs: Of `keras.layers.Layer`. Layers compute in float32 unless `dtype` says otherwise:
            bfloat16 has not the bits for 256 levels of grey.
    """

    options: ClassVar[tuple[str, ...]] = ()
    """Names of the arguments of the layer, which are attributes as well."""
    takes_bytes: ClassVar[bool] = False
    """Whether `change` makes floats of bytes by itself, in the pass that it makes anyway."""

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Changes the images in training.

        Args:
            images: `(images, height, width, 3)`, values 0 to 255.
            training: Whether to change them.

        Returns:
            Images of the same shape and range, in the layer's float type.
        """
        if not (training and self.takes_bytes):
            images = ops.cast(images, self.compute_dtype)
        return self.change(images) if training else images

    def change(self, images: Any) -> Any:
        """Changes float images; each class has its own."""
        raise NotImplementedError

    def uniform(self, shape: tuple[Any, ...], low: float = 0.0, high: float = 1.0) -> Any:
        """Draws numbers, evenly between two."""
        return keras.random.uniform(shape, low, high, seed=self.generator)

    def chosen(self, images: Any, probability: float) -> Any:
        """Draws which images are changed, `(images,)`, bool."""
        return self.uniform((ops.shape(images)[0],)) < probability

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        own = {name: getattr(self, name) for name in self.options}
        return {**super().get_config(), **own, "seed": self.seed}


def one_pass(change: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates what is done to pixels once the random numbers are drawn.

    JAX compiles whole training steps; TensorFlow gets such functions compiled one by one, which
    takes a quarter to a half of the time on a processor.

    Args:
        change: A function of tensors; what it needs of random numbers is handed to it.
    """

    @functools.wraps(change)
    def call(*arguments: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return change(*arguments)
        from siamese.augment.compiled import compile_pixels

        return compile_pixels(change)(*arguments)

    return call


def select(chosen: Any, changed: Any, images: Any) -> Any:
    """Takes the changed version of the chosen images.

    TensorFlow broadcasts over a last axis of three some four times slower than over long rows; so
    this, and all that is done to every pixel alike, works on images as rows of numbers.

    Args:
        chosen: `(images,)`, bool.
        changed: `(images, height, width, 3)`.
        images: The same, as they were.

    Returns:
        `(images, height, width, 3)`.
    """
    picked = ops.where(chosen[:, None], as_rows(changed), as_rows(images))
    return ops.reshape(picked, ops.shape(images))


def as_rows(images: Any) -> Any:
    """Images as `(images, height * width * 3)`."""
    _, height, width, channels = images.shape
    return ops.reshape(images, (-1, height * width * channels))
