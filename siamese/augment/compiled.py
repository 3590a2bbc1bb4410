"""One pass over the pixels, by TensorFlow's compiler, where Keras's operations take several."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


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
