"""A rectangle of the image that is not as it was."""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from siamese.augment.colour import to_grey
from siamese.augment.frame import Augmentation, one_pass

ERASED = (123.7, 116.3, 103.5)
"""What random erasing fills with: the mean colour of ImageNet."""


class _Patch(Augmentation):
    """Chooses images and a rectangle in each.

    The area is uniform in `area` of the image and the aspect ratio log-uniform in `aspect` to
    1 / `aspect`.
    """

    options: ClassVar[tuple[str, ...]] = ("probability",)
    area = (0.02, 0.4)
    aspect = 0.3

    def __init__(self, probability: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.probability = probability

    def place(self, images: Any) -> tuple[Any, Any, Any, Any]:
        """Upper left corner, height and width of the patches, `(images, 1, 1)` each, in pixels."""
        _, height, width, _ = images.shape
        shape = (ops.shape(images)[0], 1, 1)
        chosen = self.chosen(images, self.probability)[:, None, None]
        area = self.uniform(shape, *self.area) * (height * width)
        ratio = ops.exp(self.uniform(shape, -1.0, 1.0) * ops.log(1.0 / self.aspect))
        tall = ops.clip(ops.sqrt(area * ratio), 1.0, float(height))
        wide = ops.clip(area / tall, 1.0, float(width))
        top = self.uniform(shape) * (height - tall)
        left = self.uniform(shape) * (width - wide)
        # Not chosen: from the last row on.
        return ops.where(chosen, top, float(height)), left, tall, wide


def _fill(images: Any, content: Any, top: Any, left: Any, tall: Any, wide: Any) -> Any:
    """Puts content, which broadcasts to `(images, height, width * 3)`, into the patches."""
    _, height, width, _ = images.shape
    row = np.arange(height, dtype=np.float32).reshape(1, height, 1)
    column = np.arange(width, dtype=np.float32).repeat(3).reshape(1, 1, width * 3)
    inside = ((row >= top) & (row < top + tall)) & ((column >= left) & (column < left + wide))
    rows = ops.reshape(images, (-1, height, width * 3))
    return ops.reshape(ops.where(inside, content, rows), ops.shape(images))


@keras.saving.register_keras_serializable("siamese")
class RandomErasing(_Patch):
    """Erases one rectangle of an image (Zhong et al., "Random Erasing Data Augmentation", 2020).

    The area is uniform in 0.02..0.4 of the image and the aspect ratio log-uniform in 0.3..1/0.3, as
    in the paper; the fill is the mean colour of ImageNet, as in the strong baselines. Keras's own
    layer has no area and, given a probability p, erases p/2 of the images.

    Args:
        probability: Share of the images that are erased, 0 to 1.
        seed: Start of the random numbers.
        **kwargs: Of `keras.layers.Layer`.
    """

    def change(self, images: Any) -> Any:
        """Erases."""
        return _erase(images, *self.place(images))


@one_pass
def _erase(images: Any, *place: Any) -> Any:
    row = np.tile(np.array(ERASED, np.float32), images.shape[2])
    return _fill(images, ops.cast(row.reshape(1, 1, -1), images.dtype), *place)


@keras.saving.register_keras_serializable("siamese")
class GrayscalePatch(_Patch):
    """Takes the colour out of one rectangle of an image (local grayscale, Gong et al. 2021).

    The paper is "Eliminate Deviation with Deviation for Data Augmentation and a General Multi-modal
    Data Learning Method". The rectangle is drawn as for random erasing. A network that relies on
    colour alone, which another camera shows differently, is wrong about such images.

    Args:
        probability: Share of the images that are changed, 0 to 1; 0.4 in the paper.
        seed: Start of the random numbers.
        **kwargs: Of `keras.layers.Layer`.
    """

    def change(self, images: Any) -> Any:
        """Takes the colour out."""
        return _fade(images, *self.place(images))


@one_pass
def _fade(images: Any, *place: Any) -> Any:
    _, height, width, _ = images.shape
    grey = ops.reshape(to_grey(images), (-1, height, width))
    return _fill(images, ops.repeat(grey, 3, axis=2), *place)
