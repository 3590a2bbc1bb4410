"""OSNet: omni-scale feature learning (Zhou et al., ICCV 2019), the backbone that needs no ImageNet.

Section, figure and table numbers below are those of the paper (arXiv 1905.00953).
"""

import math
from typing import Any

import keras
from keras import layers

from siamese.models.layers import UnifiedAggregationGate

CHANNELS = (64, 256, 384, 512)
"""Table 1: channels of the stem and of the three stages, at width 1."""
SCALES = 4
"""Section 3.2: streams of 1 to 4 stacked 3x3 layers in a block."""


def build_osnet(width: float = 1.0, image_size: tuple[int, int] = (256, 128)) -> keras.Model:
    """Builds the convolutional part of OSNet, up to the last feature map.

    Args:
        width: Multiplier of the channels (the paper's beta): 1.0, 0.5 and 0.25 are usual.
        image_size: Height and width of the input in pixels.

    Returns:
        A model from images `(images, height, width, 3)`, normalised, to feature maps
        `(images, height / 16, width / 16, 512 * width)`.
    """
    stem, *stages = (int(channels * width) for channels in CHANNELS)
    inputs = keras.Input((*image_size, 3))
    features = _convolution(inputs, stem, kernel=7, stride=2, name="stem")
    features = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(features)
    for number, channels in enumerate(stages, start=2):
        features = _omni_scale_block(features, channels, name=f"stage{number}_block1")
        features = _omni_scale_block(features, channels, name=f"stage{number}_block2")
        if number < 4:  # Table 1: the first two stages end in a transition that halves the map
            features = _convolution(features, channels, name=f"stage{number}_transition")
            features = layers.AveragePooling2D(2, name=f"stage{number}_pool")(features)
    features = _convolution(features, stages[-1], name="last")
    return keras.Model(inputs, features, name="osnet")


def _convolution(
    inputs: Any,
    channels: int,
    *,
    name: str,
    kernel: int = 1,
    stride: int = 1,
    activate: bool = True,
) -> Any:
    """Adds a convolution without bias, batch normalisation, ReLU unless told otherwise."""
    outputs = layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_convolution",
    )(inputs)
    outputs = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_norm")(outputs)
    return layers.ReLU(name=f"{name}_relu")(outputs) if activate else outputs


def _lite_convolution(inputs: Any, channels: int, *, name: str) -> Any:
    """Adds Lite 3x3 of figure 3b: pointwise, then depthwise convolution, batch norm, ReLU."""
    outputs = layers.Conv2D(
        channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_pointwise"
    )(inputs)
    outputs = layers.DepthwiseConv2D(
        3,
        padding="same",
        use_bias=False,
        # He's rule for nine inputs; Keras's own would count all channels as inputs of each.
        depthwise_initializer=keras.initializers.RandomNormal(stddev=math.sqrt(2 / 9)),
        name=f"{name}_depthwise",
    )(outputs)
    outputs = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_norm")(outputs)
    return layers.ReLU(name=f"{name}_relu")(outputs)


def _omni_scale_block(inputs: Any, channels: int, *, name: str) -> Any:
    """Adds figure 4: streams of growing receptive field, summed under one gate, and a shortcut."""
    middle = channels // 4
    reduced = _convolution(inputs, middle, name=f"{name}_reduce")
    gate = UnifiedAggregationGate(name=f"{name}_gate")
    streams = []
    for scale in range(1, SCALES + 1):
        stream = reduced
        for step in range(1, scale + 1):
            stream = _lite_convolution(stream, middle, name=f"{name}_scale{scale}_step{step}")
        streams.append(gate(stream))
    restored = _convolution(
        layers.Add(name=f"{name}_sum")(streams), channels, activate=False, name=f"{name}_restore"
    )
    shortcut = inputs
    if inputs.shape[-1] != channels:
        shortcut = _convolution(inputs, channels, activate=False, name=f"{name}_shortcut")
    outputs = layers.Add(name=f"{name}_add")([restored, shortcut])
    return layers.ReLU(name=f"{name}_relu")(outputs)
