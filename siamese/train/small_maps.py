"""Depthwise convolutions of small feature maps as matrix products, which a CPU does faster."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

LARGEST = 16
"""Positions of a map up to which the product wins. On two cores with AVX2, 5x5 kernels over 96 maps
of 4x2x1152, forwards and backwards: 16 ms in place of 167; from 8x4 on the two are level."""


def speed_up_small_maps(model: keras.Model) -> None:
    """Has TensorFlow compute the depthwise convolutions of small maps as matrix products.

    Its own gradient of a depthwise kernel takes ten times as long on a map of 4x2, where a crop of
    128x64 ends in an EfficientNet. Values and gradients are the same up to rounding. Layers stay
    Keras's own, also in files; only training computes so. On JAX nothing changes.

    Args:
        model: A training model, before its first step.
    """
    if keras.config.backend() == "tensorflow":
        for layer in model._flatten_layers(include_self=False, recursive=True):
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                layer.call = functools.partial(_call, layer)


def _call(layer: keras.layers.DepthwiseConv2D, inputs: Any) -> Any:
    height, width = inputs.shape[1:3]
    fits = (
        height is not None
        and width is not None
        and height * width <= LARGEST
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.depth_multiplier == 1
        and tuple(layer.dilation_rate) == (1, 1)
    )
    if not fits:
        return type(layer).call(layer, inputs)
    outputs = convolve_depthwise(inputs, layer.kernel, tuple(layer.strides))
    if layer.use_bias:
        outputs = outputs + layer.bias
    return outputs if layer.activation is None else layer.activation(outputs)


def convolve_depthwise(maps: Any, kernel: Any, strides: tuple[int, int]) -> Any:
    """Convolves each channel with its own kernel, zeros around the map, as one matrix product.

    Args:
        maps: `(images, height, width, channels)`; height and width are known.
        kernel: `(kernel height, kernel width, channels, 1)`.
        strides: Vertical and horizontal.

    Returns:
        `(images, ceil(height / stride), ceil(width / stride), channels)`, as of `padding="same"`.
    """
    height, width, channels = maps.shape[1:]
    taps, (rows, columns) = _taps((height, width), tuple(kernel.shape[:2]), strides)
    weights = ops.matmul(
        ops.cast(taps, maps.dtype), ops.reshape(ops.cast(kernel, maps.dtype), (-1, channels))
    )
    by_channel = ops.reshape(ops.transpose(weights), (channels, height * width, rows * columns))
    pixels = ops.transpose(ops.reshape(maps, (-1, height * width, channels)), (2, 0, 1))
    outputs = ops.transpose(ops.matmul(pixels, by_channel), (1, 2, 0))
    return ops.reshape(outputs, (-1, rows, columns, channels))


@functools.cache
def _taps(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int]
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], tuple[int, int]]:
    """Finds which element of the kernel leads from each position of a map to each of the next.

    Returns:
        `(positions * next positions, elements)`, 1 where the element does; and the next size.
    """
    after = (-(-size[0] // strides[0]), -(-size[1] // strides[1]))
    axes = []
    for before, taps, stride, length in zip(size, kernel, strides, after, strict=True):
        padding = max((length - 1) * stride + taps - before, 0) // 2
        tap = np.arange(before)[:, None] - np.arange(length) * stride + padding
        axes.append(tap[..., None] == np.arange(taps))
    found = np.einsum("yYi,xXj->yxYXij", *axes)
    return found.reshape(-1, kernel[0] * kernel[1]).astype(np.float32), after
