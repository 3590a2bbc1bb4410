"""What TensorFlow does in one pass over its data where Keras's operations take several."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

DTYPES = ("float32", "float16", "bfloat16")
"""What the kernel computes in."""


def normalise_batch(maps: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalises feature maps by the statistics of their batch.

    Args:
        maps: `(images, height, width, channels)`, of one of `DTYPES`.
        scale: `(channels,)`, float32.
        offset: `(channels,)`, float32.
        epsilon: Added to the variance.

    Returns:
        The normalised maps, in the type of `maps`; mean and variance of each channel over the
        batch, `(channels,)`, float32, without Bessel's correction, as Keras's layer has them.
    """
    normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=maps, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    places = tf.cast(tf.reduce_prod(tf.shape(maps)[:3]), variance.dtype)
    return normalised, mean, variance * tf.maximum(places - 1.0, 1.0) / places


def compile_pixels(change: Callable[..., Any]) -> Callable[..., Any]:
    """Has TensorFlow's compiler make one loop of what a function does to each pixel.

    On the processor operations run one after the other, each over all pixels. The compiler needs
    half a second for each function and each size of images, which only training pays: elsewhere,
    on a GPU and where several devices hold copies of a model, the function is as it was.

    Args:
        change: A function of tensors, which has no variables and draws no random numbers.

    Returns:
        The function, or its compiled form.
    """
    plain = (
        not tf.inside_function()
        or tf.distribute.has_strategy()
        or tf.config.list_physical_devices("GPU")
    )
    return change if plain else _compiled(change)


@functools.cache
def _compiled(change: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = tf.function(change, jit_compile=True, autograph=False)
    return compiled
