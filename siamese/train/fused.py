"""Batch normalisation in one pass over its data, by TensorFlow's kernel for it."""

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
