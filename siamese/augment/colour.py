"""What colour the pixels of an image have."""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from siamese.augment.frame import Augmentation, as_rows

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in grey (ITU-R BT.601), as Pillow's and OpenCV's."""
TO_YIQ = np.array(
    [LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]], np.float32
)
FROM_YIQ = np.linalg.inv(TO_YIQ)


def to_grey(images: Any) -> Any:
    """The grey of images, `(images, height, width, 1)`."""
    return ops.matmul(images, LUMA[:, None])


@keras.saving.register_keras_serializable("siamese")
class ColourJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue of each image, as cameras do.

    All four together are one matrix and one offset an image, so one pass over the batch; Keras's
    `RandomColorJitter` makes one for each. Hue is an angle in the plane of the two colour
    components of YIQ, and saturation a scale of them, as in tensorflow-addons'
    `random_hsv_in_yiq`.

    Args:
        brightness: Largest change, as a share of 255: added in -brightness..brightness.
        contrast: Largest change, as a share: the distance from the mean of the image is scaled by
            1 - contrast to 1 + contrast.
        saturation: Largest change, as a share: the distance from grey is scaled by 1 - saturation
            to 1 + saturation.
        hue: Largest change, as a share of the whole circle of colours (0 to 0.5).
        seed: Start of the random numbers.
        **kwargs: Of `keras.layers.Layer`.
    """

    options: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturation", "hue")

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def change(self, images: Any) -> Any:
        """Recolours."""
        count = ops.shape(images)[0]
        bright = 255.0 * self.uniform((count, 1), -self.brightness, self.brightness)
        scale = self.uniform((count, 1), 1 - self.contrast, 1 + self.contrast)
        if self.saturation or self.hue:
            shape = (count, 1, 1)
            vivid = self.uniform(shape, 1 - self.saturation, 1 + self.saturation)
            images = _turn(images, vivid, 2 * np.pi * self.uniform(shape, -self.hue, self.hue))
        rows = as_rows(images)
        mean = ops.mean(rows, axis=1, keepdims=True)
        changed = ops.clip(rows * scale + (mean * (1.0 - scale) + bright), 0.0, 255.0)
        return ops.reshape(changed, ops.shape(images))


def _turn(images: Any, vivid: Any, angle: Any) -> Any:
    """Scales and turns the colour components of YIQ; vivid and angle: `(images, 1, 1)`."""
    cos, sin = vivid * ops.cos(angle), vivid * ops.sin(angle)
    one, zero = ops.ones_like(cos), ops.zeros_like(cos)
    rows = [[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]]
    turn = ops.concatenate([ops.concatenate(row, axis=2) for row in rows], axis=1)
    matrix = ops.matmul(ops.matmul(FROM_YIQ, turn), TO_YIQ)
    _, height, width, _ = images.shape
    pixels = ops.reshape(images, (-1, height * width, 3))
    turned = ops.matmul(pixels, ops.transpose(matrix, (0, 2, 1)))
    return ops.reshape(turned, (-1, height, width, 3))
