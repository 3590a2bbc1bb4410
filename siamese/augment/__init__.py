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
    CutMix,
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
    "CutMix",
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
    cut_mix: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    grayscale_patch: float = 0.0,
    erasing: float = 0.0,
    seed: int = 0,
) -> list[keras.layers.Layer]:
    """Lists the layers that a training batch goes through, in order; none where everything is off.

    Each argument is described in `siamese.recipes.sections.AugmentationSection`, and in the class
    of its layer. Two builds of one seed draw the same random numbers.
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
    if cut_mix:
        chosen.append(CutMix(cut_mix, seed=seed + 10))
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
    Epochs are numbered from 0, and the seed is that of the run.
    """
    for number, layer in enumerate(layers):
        for name in ("generator", "seed_generator"):
            generator = getattr(layer, name, None)
            if isinstance(generator, keras.random.SeedGenerator):
                first = (seed * 1_000_003 + epoch * 1_009 + number) % 2**31
                generator.state.assign([first, 0])
