"""Pooling: from feature maps to one feature an image."""

import math
from typing import Literal, TypeAlias, get_args

import keras
from keras import layers

from siamese.errors import InputError
from siamese.models.layers import GeneralisedMean

Pooling: TypeAlias = Literal["average", "gem", "global_depthwise"]


def build_pooling(kind: Pooling, map_size: tuple[int, int]) -> layers.Layer:
    """Builds the layer that pools feature maps `(images, height, width, channels)`, in float32.

    Args:
        kind: `average`; `gem`: `GeneralisedMean`; or `global_depthwise`: a weighted mean whose
            weights, one a position and channel, are learnt, so that the upper and the lower half of
            a person may count in different channels (global depthwise convolution, Chen et al.,
            MobileFaceNets, CCBR 2018, section 3.2). It begins as the average.
        map_size: Height and width of the maps in positions.

    Raises:
        InputError: It is none of them.
    """
    if kind not in get_args(Pooling):
        raise InputError(
            f"`pooling` must be one of {', '.join(get_args(Pooling))}. Received: {kind}. Take one "
            "of them."
        )
    if kind == "gem":
        return GeneralisedMean(dtype="float32", name="pool")
    if kind == "global_depthwise":
        weighted = layers.DepthwiseConv2D(
            map_size,
            use_bias=False,
            depthwise_initializer=keras.initializers.Constant(1 / math.prod(map_size)),
            dtype="float32",
            name="weighted_sum",
        )
        return keras.Sequential([weighted, layers.Flatten(dtype="float32")], name="pool")
    return layers.GlobalAveragePooling2D(dtype="float32", name="pool")
