"""TensorFlow's way to several GPUs of one machine: a copy of the model on each."""

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
