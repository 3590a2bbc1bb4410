"""TensorFlow's way to several GPUs of one machine: a copy of the model on each."""

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from siamese.errors import InputError


def mirrored_strategy(devices: int | None) -> Any:
    """A strategy that trains on several devices in step.

    Where there is no GPU, the CPU's logical devices count (TensorFlow makes one, unless it was told
    to make more).

    Args:
        devices: How many; None: all.

    Returns:
        A `tf.distribute.MirroredStrategy`.

    Raises:
        InputError: The machine has fewer.
    """
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    wanted = len(found) if devices is None else devices
    if wanted > len(found):
        raise InputError(
            f"`devices` must be at most {len(found)}, those of this machine. Received: {wanted}. "
            "Give `all` to use what there is."
        )
    return tf.distribute.MirroredStrategy([device.name for device in found[:wanted]])


def reopening_dataset(open_batches: Callable[[], Iterator[Any]]) -> Any:
    """Batches from Python that begin anew each time they are opened.

    Under a strategy Keras opens its data twice, once to see their shapes. From a plain generator
    the second opening goes on where the first one was, which had read ahead: batches were lost.

    Args:
        open_batches: Gives the batches from the first on; all are of one shape.

    Returns:
        A `tf.data.Dataset` of them.
    """
    one = next(open_batches())
    signature = tf.nest.map_structure(lambda each: tf.TensorSpec(each.shape, each.dtype), one)
    return tf.data.Dataset.from_generator(open_batches, output_signature=signature).prefetch(
        tf.data.AUTOTUNE
    )
