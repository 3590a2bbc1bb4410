"""AutoAugment, RandAugment and AugMix: which operations an image goes through.

On a batch of images, on the device that trains, on every backend. Keras 3.15 has no AutoAugment;
its RandAugment computes every operation for every image, some 50 images a second on two cores.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from siamese.augment.frame import Augmentation, ProbableAugmentation
from siamese.augment.operations import OPERATIONS, measure, number, operate

_Step = tuple[str, float, int]

IMAGENET_POLICY: tuple[tuple[_Step, _Step], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("colour", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("colour", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("colour", 1.0, 2)),
    (("colour", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("colour", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("colour", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)
"""Cubuk et al. (CVPR 2019), table 9: two operations, each with its probability and its magnitude
of 0 to 9."""


def _draw_signs(layer: Augmentation, count: Any) -> Any:
    """Draws a direction for operations that have two, `(images,)`, -1 or 1."""
    return ops.where(layer.uniform((count,)) < 0.5, -1.0, 1.0)


def _draw_operations(layer: Augmentation, names: tuple[str, ...], count: Any) -> Any:
    """Draws one of the named operations for each image, `(images,)`, int32."""
    drawn = keras.random.randint((count,), 0, len(names), seed=layer.generator)
    return ops.take(number(names), drawn)


@keras.saving.register_keras_serializable("siamese")
class AutoAugment(ProbableAugmentation):
    """The ImageNet policy of AutoAugment (Cubuk et al., CVPR 2019).

    An image goes through the two operations of one of 25 sub-policies.

    Args:
        probability: Share of the images that go through the policy, 0 to 1; the others stay. The
            paper takes all, person re-identification usually takes 0.1.
    """

    def change(self, images: Any) -> Any:
        """Goes through the policy."""
        count = ops.shape(images)[0]
        taken = self.chosen(images, self.probability)
        row = keras.random.randint((count,), 0, len(IMAGENET_POLICY), seed=self.generator)
        for steps in zip(*IMAGENET_POLICY, strict=True):
            names, shares, levels = zip(*steps, strict=True)
            operation = ops.take(number(names), row)
            level = ops.take(np.array(levels, np.float32) / 9.0, row)
            done = taken & (self.uniform((count,)) < ops.take(np.array(shares, np.float32), row))
            amount = measure(operation, level, _draw_signs(self, count))
            images = operate(images, ops.where(done, operation, 0), amount)
        return images


@keras.saving.register_keras_serializable("siamese")
class RandAugment(Augmentation):
    """RandAugment (Cubuk et al. 2020): two operations of fourteen, at one magnitude.

    Args:
        magnitude: How strong, 0 to 10; 9 in the paper for ImageNet.
    """

    operations = tuple(name for name in OPERATIONS if name != "invert")
    steps = 2

    def __init__(self, magnitude: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.magnitude = magnitude

    def change(self, images: Any) -> Any:
        """Goes through the operations."""
        count = ops.shape(images)[0]
        level = ops.full((count,), self.magnitude / 10)
        for _ in range(self.steps):
            operation = _draw_operations(self, self.operations, count)
            images = operate(images, operation, measure(operation, level, _draw_signs(self, count)))
        return images


@keras.saving.register_keras_serializable("siamese")
class AugMix(ProbableAugmentation):
    """AugMix (Hendrycks et al., ICLR 2020): an image mixed with three changed versions of itself.

    Each version went through one to three mild operations. The weights of the three are of a
    Dirichlet distribution, that of the image against them is uniform, all with parameter 1 as in
    the paper. It adds no loss between versions.

    Args:
        probability: Share of the images that are mixed, 0 to 1.
    """

    operations = (*OPERATIONS[1:6], "posterize", "solarize", "auto_contrast", "equalize")
    chains = 3
    longest = 3
    severity = (0.01, 0.3)
    """Levels that operations are drawn between: 0.1 to 3 of 10 in the paper."""

    def change(self, images: Any) -> Any:
        """Changes and mixes."""
        count = ops.shape(images)[0] * self.chains
        versions = ops.repeat(images, self.chains, axis=0)
        length = keras.random.randint((count,), 1, self.longest + 1, seed=self.generator)
        for step in range(self.longest):
            operation = ops.where(step < length, _draw_operations(self, self.operations, count), 0)
            level = self.uniform((count,), *self.severity)
            versions = operate(
                versions, operation, measure(operation, level, _draw_signs(self, count))
            )
        versions = ops.reshape(versions, (-1, self.chains, *images.shape[1:]))
        # Exponential numbers over their sum have a Dirichlet distribution with parameter 1.
        weights = -ops.log(1.0 - self.uniform((ops.shape(images)[0], self.chains, 1, 1, 1)))
        weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-12)
        mixed = ops.sum(weights * versions, axis=1)
        share = self.uniform((ops.shape(images)[0], 1, 1, 1))
        share = ops.where(self.chosen(images, self.probability)[:, None, None, None], share, 0.0)
        return ops.clip(images + share * (mixed - images), 0.0, 255.0)
