"""From feature maps to one feature an image."""

from typing import Literal, TypeAlias, get_args

from keras import layers

from siamese.errors import InputError
from siamese.models.layers import GeneralisedMean

Pooling: TypeAlias = Literal["average", "gem"]


def build_pooling(kind: Pooling) -> layers.Layer:
    """The layer that pools feature maps `(images, height, width, channels)`, in float32.

    Args:
        kind: `average`, or `gem`: `GeneralisedMean`.

    Raises:
        InputError: It is neither.
    """
    if kind not in get_args(Pooling):
        raise InputError(
            f"`pooling` must be one of {', '.join(get_args(Pooling))}. Received: {kind}. Take one "
            "of them."
        )
    if kind == "gem":
        return GeneralisedMean(dtype="float32", name="pool")
    return layers.GlobalAveragePooling2D(dtype="float32", name="pool")
