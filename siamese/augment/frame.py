"""The frame that all augmentation layers share."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops


class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """A layer that changes images in training and hands them on as they are otherwise.

    A subclass keeps its arguments as attributes of their names.

    Args:
        seed: Start of the random numbers; two layers of one seed draw the same.
        **kwargs: Of `keras.layers.Layer`. Layers compute in float32 unless `dtype` says otherwise:
            bfloat16 has not the bits for 256 levels of grey.
    """

    takes_bytes: ClassVar[bool] = False
    """True where `change` makes floats of bytes by itself, in the pass that it makes anyway."""

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Changes images, `(images, height, width, 3)`, 0 to 255, in training.

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
        """Returns the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "kwargs"]
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class ProbableAugmentation(Augmentation):
    """A layer that changes each image with a probability.

    Args:
        probability: Share of the images that are changed, 0 to 1.
    """

    def __init__(self, probability: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.probability = probability


def one_pass(change: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates what is done to pixels once the random numbers, handed to it, are drawn.

    JAX compiles whole training steps. In TensorFlow operations run one after the other on the
    processor, each over all pixels; so its compiler makes one loop of such a function of tensors,
    without variables, which takes a quarter to a half of the time. It needs half a second for each
    function and each size of images, which only training pays: elsewhere, on a GPU and where
    several devices hold copies of a model, the function is as it was.
    """

    @functools.cache
    def compiled() -> Any:
        import tensorflow as tf

        return tf.function(change, jit_compile=True, autograph=False)

    @functools.wraps(change)
    def call(*arguments: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return change(*arguments)
        import tensorflow as tf

        plain = (
            not tf.inside_function()
            or tf.distribute.has_strategy()
            or tf.config.list_physical_devices("GPU")
        )
        return change(*arguments) if plain else compiled()(*arguments)

    return call


def select(chosen: Any, changed: Any, images: Any) -> Any:
    """Takes the changed version of the chosen images, `(images,)`, bool.

    TensorFlow broadcasts over a last axis of three some four times slower than over long rows; so
    this, and all that is done to every pixel alike, works on images as rows of numbers.

    Returns:
        `(images, height, width, 3)`.
    """
    picked = ops.where(chosen[:, None], as_rows(changed), as_rows(images))
    return ops.reshape(picked, ops.shape(images))


def as_rows(images: Any) -> Any:
    """Returns images as `(images, height * width * 3)`."""
    _, height, width, channels = images.shape
    return ops.reshape(images, (-1, height * width * channels))
