"""Augmentation of training images: one layer for each kind, composed by `build_augmentation`.

The layers are Keras's own where Keras has one that does it image by image. They run inside the
training step, on whole batches and on the device that trains, on every backend; saved models do not
hold them. They take images `(images, height, width, 3)` with values 0 to 255.

frame        what all layers share
pixels       padding and cropping, perspective, colours, random erasing, grayscale patch
operations   the operations of the policies, another one for each image of a batch
policies     AutoAugment, RandAugment, AugMix
"""

from collections.abc import Iterable

import keras

from siamese.augment.pixels import (
    ColourJitter,
    GrayscalePatch,
    PadAndCrop,
    RandomErasing,
    RandomPerspective,
)
from siamese.augment.policies import AugMix, AutoAugment, RandAugment

__all__ = [
    "AugMix",
    "AutoAugment",
    "ColourJitter",
    "GrayscalePatch",
    "PadAndCrop",
    "RandAugment",
    "RandomErasing",
    "RandomPerspective",
    "build_augmentation",
    "restart_random_numbers",
]


def build_augmentation(
    *,
    flip: bool = True,
    padding: int = 0,
    rotation: float = 0.0,
    perspective: float = 0.0,
    auto_augment: float = 0.0,
    rand_augment: float = 0.0,
    aug_mix: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    grayscale_patch: float = 0.0,
    erasing: float = 0.0,
    seed: int = 0,
) -> list[keras.layers.Layer]:
    """Lists the layers that a training batch goes through, in order.

    Args:
        flip: Mirror half of the images left to right.
        padding: Pad each side by this many pixels, at an image height of 128 (in proportion at
            other heights), then crop the old size at random, image by image.
        rotation: Largest turn to either side, in degrees; the edge is reflected.
        perspective: How far corners of half of the images may move inwards, as a share of half
            the sides (0 to 1).
        auto_augment: Probability that an image goes through the ImageNet policy of AutoAugment.
        rand_augment: Magnitude of the two operations of RandAugment on every image (0 to 10).
        aug_mix: Probability that an image is mixed with changed versions of itself (AugMix).
        brightness: Largest change of brightness, as a share of white (0 to 1).
        contrast: Largest change of contrast, as a share (0 to 1).
        saturation: Largest change of saturation, as a share (0 to 1).
        hue: Largest change of hue, as a share of the circle of colours (0 to 0.5).
        grayscale_patch: Probability that a rectangle of an image loses its colour (Gong et al.
            2021).
        erasing: Probability that an image has a rectangle erased (Zhong et al. 2020).
        seed: Start of the random numbers; two builds of one seed draw the same.

    Returns:
        Layers; none where everything is off.
    """
    chosen: list[keras.layers.Layer] = []
    if padding:
        chosen.append(PadAndCrop(padding, flip, seed=seed + 1))
    elif flip:
        chosen.append(keras.layers.RandomFlip("horizontal", seed=seed, dtype="float32"))
    if rotation:
        turn = keras.layers.RandomRotation(
            rotation / 360, fill_mode="reflect", seed=seed + 4, dtype="float32"
        )
        chosen.append(turn)
    if perspective:
        chosen.append(RandomPerspective(perspective, seed=seed + 5))
    if auto_augment:
        chosen.append(AutoAugment(auto_augment, seed=seed + 6))
    if rand_augment:
        chosen.append(RandAugment(rand_augment, seed=seed + 7))
    if aug_mix:
        chosen.append(AugMix(aug_mix, seed=seed + 8))
    if brightness or contrast or saturation or hue:
        chosen.append(ColourJitter(brightness, contrast, saturation, hue, seed=seed + 2))
    if grayscale_patch:
        chosen.append(GrayscalePatch(grayscale_patch, seed=seed + 9))
    if erasing:
        chosen.append(RandomErasing(erasing, seed=seed + 3))
    return chosen


def restart_random_numbers(layers: Iterable[keras.layers.Layer], seed: int, epoch: int) -> None:
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
