"""Fast training steps: TensorFlow's own kernels, and the precision to compute in.

Layers stay Keras's own, also in files, and only training computes so; values and gradients are
the same up to rounding. On JAX, whose compiler joins operations by itself, the kernels change
nothing.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

MOMENTUM = 0.9
"""Of the averages that batch normalisation keeps for scoring. Keras's backbones come with 0.99 or
0.999, for runs of some hundred thousand steps: after 100 steps from random weights, a third or nine
tenths of such an average would still be where it started. 0.9 is what PyTorch's backbones have."""
LARGEST = 16
"""Positions of a map up to which a matrix product is faster than the depthwise convolution. On two
cores with AVX2, 5x5 kernels over 96 maps of 4x2x1152, forwards and backwards: 16 ms in place of
167; from 8x4 on the two are level."""
STEPS = 3
WORTH = 1.1
"""Half precision is taken only where it is at least so many times as fast as float32."""


def list_norms(model: keras.Model) -> list[layers.BatchNormalization]:
    """Lists the batch normalisations of a model and of the models in it."""
    found = model._flatten_layers(include_self=False, recursive=True)
    return [each for each in found if isinstance(each, layers.BatchNormalization)]


@contextlib.contextmanager
def unsynchronised(model: keras.Model) -> Iterator[None]:
    """Has batch normalisation as a file is to have it: of one device, whatever the run has.

    Keras reads the flag on TensorFlow only, and the next start of a run sets it as its own devices
    need it.
    """
    synchronised = [norm for norm in list_norms(model) if norm.synchronized]
    for norm in synchronised:
        norm.synchronized = False
    try:
        yield
    finally:
        for norm in synchronised:
            norm.synchronized = True


def shorten_averages(model: keras.Model) -> None:
    """Gives all batch normalisations of a model the momentum `MOMENTUM`."""
    for norm in list_norms(model):
        norm.momentum = MOMENTUM


def speed_up(model: keras.Model) -> None:
    """Has TensorFlow train some layers by kernels that are faster than Keras's composition.

    - Batch normalisation, which Keras 3 writes as a mean, a variance and a linear map, each a pass
      over the feature maps, and as many again for the gradients: more than a third of a step of an
      OSNet on a CPU. What is scored, and what is synchronised over devices, is computed as ever.
    - Depthwise convolutions of small maps, where a crop of 128x64 ends in an EfficientNet:
      TensorFlow's own gradient of their kernels takes ten times as long as a matrix product.
    - Convolutions of 1x1, which hold most of the multiplications of an EfficientNet or OSNet: as a
      product of two matrices a step of EfficientNet-Lite0 (32 crops of 128x64, two cores with AVX2)
      takes 377 ms in place of 456.

    To be called before the first step.
    """
    if keras.config.backend() != "tensorflow":
        return
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, layers.BatchNormalization):
            layer.call = functools.partial(_normalise, layer)
        elif isinstance(layer, layers.DepthwiseConv2D):
            layer.call = functools.partial(_convolve, layer)
        elif isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            layer.call = functools.partial(_convolve_pointwise, layer)


def _normalise(
    norm: layers.BatchNormalization, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    fits = (
        training
        and norm.trainable
        and mask is None
        and not (norm.synchronized or norm.renorm)
        and len(inputs.shape) in (2, 4)
        and norm.axis in (-1, len(inputs.shape) - 1)
        and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "float16", "bfloat16")
    )
    if not fits:
        return type(norm).call(norm, inputs, training=training, mask=mask)
    import tensorflow as tf

    channels = (inputs.shape[-1],)
    maps = inputs if len(inputs.shape) == 4 else inputs[:, None, None, :]
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=maps,
        scale=ops.cast(norm.gamma, "float32") if norm.scale else ops.ones(channels),
        offset=ops.cast(norm.beta, "float32") if norm.center else ops.zeros(channels),
        mean=[],
        variance=[],
        epsilon=norm.epsilon,
        is_training=True,
    )
    # The kernel's variance has Bessel's correction, that of Keras's layer has not.
    places = tf.cast(tf.reduce_prod(tf.shape(maps)[:3]), variance.dtype)
    variance = variance * tf.maximum(places - 1.0, 1.0) / places
    for average, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        average.assign(average * norm.momentum + value * (1.0 - norm.momentum))
    return outputs if maps is inputs else outputs[:, 0, 0, :]


def _convolve(layer: layers.DepthwiseConv2D, inputs: Any) -> Any:
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
    return _finish(layer, convolve_depthwise(inputs, layer.kernel, tuple(layer.strides)))


def _convolve_pointwise(layer: layers.Conv2D, inputs: Any) -> Any:
    fits = layer.groups == 1 and layer.data_format == "channels_last"
    if not fits:
        return type(layer).call(layer, inputs)
    vertical, horizontal = layer.strides
    if (vertical, horizontal) != (1, 1):
        inputs = inputs[:, ::vertical, ::horizontal, :]
    kernel = ops.cast(layer.kernel, inputs.dtype)
    pixels = ops.reshape(inputs, (-1, kernel.shape[2]))
    outputs = ops.matmul(pixels, ops.reshape(kernel, kernel.shape[2:]))
    return _finish(layer, ops.reshape(outputs, (*ops.shape(inputs)[:3], layer.filters)))


def _finish(layer: layers.Layer, outputs: Any) -> Any:
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
) -> tuple[NDArray[np.float32], tuple[int, int]]:
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


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Has layers that are made inside, and name no precision of their own, compute in this one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def list_precisions() -> list[str]:
    """Lists the precisions worth a try here: float16 only on a GPU, where it is not slower.

    Which is fastest the clock alone tells: bfloat16 makes a ResNet-50 train half as fast again on a
    CPU with AVX512-BF16 and an OSNet slower; on a CPU without it everything is slower.
    """
    try:
        gpus = keras.distribution.list_devices("gpu")
    except RuntimeError:  # JAX, where it has no GPU
        gpus = []
    return ["float32", "mixed_bfloat16", *(["mixed_float16"] if gpus else [])]


def measure_rate(model: keras.Model, images: Any, targets: Any) -> float:
    """Measures images a second, of the fastest of `STEPS` training steps on one batch."""
    seconds = []
    for _ in range(1 + STEPS):  # the first one compiles
        started = time.perf_counter()
        model.train_on_batch(images, targets)
        seconds.append(time.perf_counter() - started)
    count = len(images["images"] if isinstance(images, dict) else images)
    return count / min(seconds[1:])


def fastest_precision(rates: dict[str, float]) -> str:
    """Returns the precision with the highest rate; float32 where no other is `WORTH` it.

    Example:
        >>> fastest_precision({"float32": 8.5, "mixed_bfloat16": 12.8})
        'mixed_bfloat16'
        >>> fastest_precision({"float32": 60.0, "mixed_bfloat16": 62.0})
        'float32'
    """
    best = max(rates, key=rates.__getitem__)
    return best if rates[best] >= WORTH * rates["float32"] else "float32"
