"""Layers that a saved embedder may hold; importing this module makes all of them known to Keras."""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import keras
from keras import layers, ops

from siamese.errors import InputError


@keras.saving.register_keras_serializable("siamese")
class ResizeImages(layers.Layer):  # type: ignore[misc]
    """Resizes images of any size and type to one size, bilinearly.

    Keras's `Resizing` is an augmentation layer: its call says `training=True` by default, and in a
    model that is called without `training` that reaches the layers behind it. Batch normalisation
    would then use, and change, the statistics of the images that are asked about.

    Args:
        image_size: Height and width in pixels.
    """

    def __init__(self, image_size: tuple[int, int], **options: Any) -> None:
        super().__init__(**options)
        self.image_size = tuple(image_size)

    def call(self, images: Any) -> Any:
        """Resizes `(images, height, width, channels)`."""
        pixels = ops.cast(images, self.compute_dtype)
        return ops.image.resize(pixels, self.image_size, interpolation="bilinear")

    def compute_output_shape(self, shape: Any) -> Any:
        """Returns the shape with the new height and width."""
        return (shape[0], *self.image_size, shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        return {**super().get_config(), "image_size": self.image_size}


@keras.saving.register_keras_serializable("siamese")
class ScaleColours(layers.Layer):  # type: ignore[misc]
    """Multiplies red, green and blue by a number each, and adds one.

    Keras's `Rescaling` computes the same. TensorFlow broadcasts over a last axis of three some ten
    times slower than over long rows, so rows it is wherever the width is known: in training.

    Args:
        scale: What red, green and blue are multiplied by.
        offset: What is added then.
    """

    def __init__(self, scale: Sequence[float], offset: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.scale = list(scale)
        self.offset = list(offset)

    def call(self, images: Any) -> Any:
        """Scales `images`, `(images, height, width, 3)`."""
        pixels = ops.cast(images, self.compute_dtype)
        width = images.shape[2]
        times = 1 if width is None else width
        scale, offset = (
            ops.convert_to_tensor(each * times, self.compute_dtype)
            for each in (self.scale, self.offset)
        )
        if width is None:
            return pixels * scale + offset
        rows = ops.reshape(pixels, (-1, 3 * width))
        return ops.reshape(rows * scale + offset, ops.shape(pixels))

    def compute_output_shape(self, shape: Any) -> Any:
        """Returns the shape of the input."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


@keras.saving.register_keras_serializable("siamese")
class ReverseChannels(layers.Layer):  # type: ignore[misc]
    """Turns red, green, blue into blue, green, red."""

    def call(self, images: Any) -> Any:
        """Reverses the last axis of `images`, `(images, height, width, 3)`."""
        return ops.flip(images, axis=-1)  # in TensorFlow a quarter of the time of [..., ::-1]


@keras.saving.register_keras_serializable("siamese")
class GeneralisedMean(layers.Layer):  # type: ignore[misc]
    """Pools a feature map by (mean of max(x, epsilon)^p)^(1/p), with a power p that is learnt.

    p = 1 is the average, p towards infinity the maximum (Radenovic, Tolias and Chum, Fine-tuning
    CNN Image Retrieval with No Human Annotation, TPAMI 2018, equation 3; one p for all channels, as
    there).

    Args:
        power: Where p starts; 3 in the paper.
        epsilon: Smaller values count as this one, since 0 has no slope for a power below 1.
        **arguments: As for any layer (`name`, `dtype`, ...).
    """

    def __init__(self, power: float = 3.0, epsilon: float = 1e-6, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.power = power
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Creates p."""
        del input_shape
        self.p = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.power), name="power"
        )

    def call(self, features: Any) -> Any:
        """Pools `(images, height, width, channels)` to `(images, channels)`."""
        # In logarithms: 1e-6 to a power beyond 6 is no number of float32.
        logarithms = self.p * ops.log(ops.maximum(features, self.epsilon))
        places = features.shape[1] * features.shape[2]
        sums = ops.logsumexp(logarithms, axis=(1, 2))
        return ops.exp((sums - math.log(places)) / self.p)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns `(images, channels)`."""
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, for a saved model."""
        return {**super().get_config(), "power": self.power, "epsilon": self.epsilon}


Pooling: TypeAlias = Literal["average", "gem", "global_depthwise"]


@keras.saving.register_keras_serializable("siamese")
class UnifiedAggregationGate(layers.Layer):  # type: ignore[misc]
    """Weighs the channels of a stream of OSNet by its own content.

    Omni-Scale Feature Learning (Zhou et al., ICCV 2019), section 3.2, equation 3.

    Global average pooling, then a perceptron with one hidden ReLU layer of a sixteenth of the
    channels and sigmoid outputs. One gate is shared by the streams of a block.
    """

    def build(self, input_shape: Any) -> None:
        """Makes the two layers of the perceptron."""
        channels = input_shape[-1]
        # A model is built in half precision, and loaded outside of it: the layer's own holds.
        own: dict[str, Any] = {"dtype": self.dtype_policy}
        self.hidden = layers.Dense(max(1, channels // 16), "relu", name="hidden", **own)
        self.weigh = layers.Dense(channels, "sigmoid", name="weigh", **own)
        self.hidden.build((None, channels))
        self.weigh.build((None, self.hidden.units))
        super().build(input_shape)

    def call(self, stream: Any) -> Any:
        """Scales the channels of `stream`, `(images, height, width, channels)`, by 0 to 1."""
        weights = self.weigh(self.hidden(ops.mean(stream, axis=(1, 2))))
        return stream * weights[:, None, None, :]


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
