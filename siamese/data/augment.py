"""What training does to its images: one layer an augmentation, composed by `build_augmentation`.

The layers are Keras's own where Keras has one that does it. They run inside the training step, on
whole batches and on the device that trains, on every backend; saved models do not hold them. They
take float32 images `(images, height, width, 3)` with values 0 to 255.
"""

from typing import Any

import keras
from keras import ops


def build_augmentation(
    *,
    flip: bool = True,
    padding: int = 0,
    erasing: float = 0.0,
    brightness: float = 0.0,
    seed: int = 0,
) -> list[keras.layers.Layer]:
    """The layers that a training batch goes through, in order.

    Args:
        flip: Mirror half of the images left to right.
        padding: Pad each side by this many pixels, at an image height of 128 (in proportion at
            other heights), then crop the old size at random, image by image.
        erasing: Probability that an image has a rectangle erased (Zhong et al. 2020).
        brightness: Largest change of brightness and of contrast, as a share (0 to 1).
        seed: Start of the random numbers; two builds of one seed draw the same.

    Returns:
        Layers; none where everything is off.
    """
    chosen: list[keras.layers.Layer] = []
    if flip:
        chosen.append(keras.layers.RandomFlip("horizontal", seed=seed, dtype="float32"))
    if padding:
        chosen.append(PadAndCrop(padding, seed=seed + 1, dtype="float32"))
    if brightness:
        chosen.append(BrightnessAndContrast(brightness, seed=seed + 2, dtype="float32"))
    if erasing:
        chosen.append(RandomErasing(erasing, seed=seed + 3, dtype="float32"))
    return chosen


def restart_random_numbers(layers: list[keras.layers.Layer], seed: int, epoch: int) -> None:
    """Sets the random state of augmentation layers to that of the start of an epoch.

    Keras does not save the state of a layer's random numbers, so a resumed run would draw others.

    Args:
        layers: The layers of `build_augmentation`, or of a model that holds them.
        seed: The seed of the run.
        epoch: Number of the epoch, from 0.
    """
    for number, layer in enumerate(layers):
        for name in ("generator", "seed_generator"):
            generator = getattr(layer, name, None)
            if isinstance(generator, keras.random.SeedGenerator):
                first = (seed * 1_000_003 + epoch * 1_009 + number) % 2**31
                generator.state.assign([first, 0])


@keras.saving.register_keras_serializable("siamese")
class PadAndCrop(keras.layers.Layer):  # type: ignore[misc]
    """Pads with black and crops the old size at random, each image by itself.

    Keras's `RandomCrop` takes one place for the whole batch.

    Args:
        padding: Pixels on each side at an image height of 128; in proportion at other heights.
        seed: Start of the random numbers.
    """

    def __init__(self, padding: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = padding
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Crops in training; returns the images as they are otherwise."""
        if not training:
            return images
        _, height, width, _ = images.shape
        count = ops.shape(images)[0]
        pad = max(1, round(self.padding * height / 128))
        tall, wide = height + 2 * pad, width + 2 * pad
        padded = ops.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        top = keras.random.randint((count, 1, 1), 0, 2 * pad + 1, seed=self.generator)
        left = keras.random.randint((count, 1, 1), 0, 2 * pad + 1, seed=self.generator)
        first = ops.reshape(ops.arange(count), (count, 1, 1)) * (tall * wide)
        rows = top + ops.reshape(ops.arange(height), (1, height, 1))
        columns = left + ops.reshape(ops.arange(width), (1, 1, width))
        pixels = ops.reshape(padded, (count * tall * wide, 3))
        return ops.take(pixels, first + rows * wide + columns, axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {**super().get_config(), "padding": self.padding, "seed": self.seed}


@keras.saving.register_keras_serializable("siamese")
class BrightnessAndContrast(keras.layers.Layer):  # type: ignore[misc]
    """Changes the brightness and the contrast of each image, as cameras do.

    One pass over the batch; Keras's `RandomColorJitter` makes one for each of its five changes.

    Args:
        share: Largest change, as a share: brightness is added in -share..share of 255, contrast
            is scaled by 1 - share to 1 + share about the mean of the image.
        seed: Start of the random numbers.
    """

    def __init__(self, share: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Changes the images in training; returns them as they are otherwise."""
        if not training:
            return images
        shape = (ops.shape(images)[0], 1, 1, 1)
        bright = keras.random.uniform(shape, -self.share, self.share, seed=self.generator)
        scale = keras.random.uniform(shape, 1 - self.share, 1 + self.share, seed=self.generator)
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return ops.clip((images - mean) * scale + mean + 255.0 * bright, 0.0, 255.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {**super().get_config(), "share": self.share, "seed": self.seed}


@keras.saving.register_keras_serializable("siamese")
class RandomErasing(keras.layers.Layer):  # type: ignore[misc]
    """Erases one rectangle of an image (Zhong et al., "Random Erasing Data Augmentation", 2020).

    The area is uniform in 0.02..0.4 of the image and the aspect ratio log-uniform in 0.3..1/0.3, as
    in the paper; the fill is the mean colour of ImageNet, as in the strong baselines. Keras's own
    layer has no area and, given a probability p, erases p/2 of the images.

    Args:
        probability: Share of the images that are erased, 0 to 1.
        seed: Start of the random numbers.
    """

    fill = (123.7, 116.3, 103.5)
    area = (0.02, 0.4)
    aspect = 0.3

    def __init__(self, probability: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.probability = probability
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Erases in training; returns the images as they are otherwise."""
        if not training:
            return images
        _, height, width, _ = images.shape
        shape = (ops.shape(images)[0], 1, 1, 1)

        def uniform(low: float, high: float) -> Any:
            return keras.random.uniform(shape, low, high, seed=self.generator)

        chosen = uniform(0.0, 1.0) < self.probability
        area = uniform(*self.area) * (height * width)
        ratio = ops.exp(uniform(-1.0, 1.0) * ops.log(1.0 / self.aspect))
        tall = ops.clip(ops.sqrt(area * ratio), 1.0, float(height))
        wide = ops.clip(area / tall, 1.0, float(width))
        top = uniform(0.0, 1.0) * (height - tall)
        left = uniform(0.0, 1.0) * (width - wide)
        rows = ops.reshape(ops.arange(height, dtype="float32"), (1, height, 1, 1))
        columns = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, width, 1))
        inside = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
        fill = ops.reshape(ops.convert_to_tensor(self.fill, dtype="float32"), (1, 1, 1, 3))
        return ops.where(inside & chosen, fill, images)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a saved model."""
        return {**super().get_config(), "probability": self.probability, "seed": self.seed}
