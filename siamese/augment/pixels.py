"""Layers that move pixels, change their colour, or a rectangle of them."""

from typing import Any

import keras
import numpy as np
from keras import ops

from siamese.augment.frame import Augmentation, ProbableAugmentation, as_rows, one_pass, select

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in grey (ITU-R BT.601), as Pillow's and OpenCV's."""
TO_YIQ = np.array(
    [LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]], np.float32
)
FROM_YIQ = np.linalg.inv(TO_YIQ)
ERASED = (123.7, 116.3, 103.5)
"""The fill of random erasing: the mean colour of ImageNet."""


@keras.saving.register_keras_serializable("siamese")
class PadAndCrop(Augmentation):
    """Pads with black and crops the old size at random, each image by itself.

    Keras's `RandomCrop` takes one place for the whole batch.

    Args:
        padding: Pixels on each side at an image height of 128; in proportion at other heights.
        flip: Mirror half of the images left to right, in the same pass over the pixels; Keras's
            `RandomFlip` is another one that costs twice as much.
    """

    takes_bytes = True

    def __init__(self, padding: int, flip: bool = False, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.padding = padding
        self.flip = flip

    def change(self, images: Any) -> Any:
        """Crops."""
        shape = (ops.shape(images)[0], 1, 1)
        pad = max(1, round(self.padding * images.shape[1] / 128))
        down = keras.random.randint(shape, -pad, pad + 1, seed=self.generator)
        right = keras.random.randint(shape, -pad, pad + 1, seed=self.generator)
        mirrored = self.uniform(shape) < (0.5 if self.flip else 0.0)
        return _move(images, down, right, mirrored, self.compute_dtype)


@one_pass
def _move(images: Any, down: Any, right: Any, mirrored: Any, dtype: str) -> Any:
    """Takes each pixel from so far down and right of it, black outside; `(images, 1, 1)` each."""
    _, height, width, _ = images.shape
    count = ops.shape(images)[0]
    rows = ops.reshape(ops.arange(height), (1, height, 1)) + down
    columns = ops.reshape(ops.arange(width), (1, 1, width)) + right
    columns = ops.where(mirrored, width - 1 - columns, columns)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    first = ops.reshape(ops.arange(count), (-1, 1, 1)) * (height * width)
    black = count * height * width  # one more pixel, at the end
    pixels = ops.reshape(images, (black, 3))
    pixels = ops.concatenate([pixels, ops.zeros((1, 3), images.dtype)], axis=0)
    places = ops.where(inside, first + rows * width + columns, black)
    return ops.cast(ops.take(pixels, places, axis=0), dtype)


@keras.saving.register_keras_serializable("siamese")
class RandomPerspective(Augmentation):
    """Looks at half of the images from the side: each corner moves inwards by itself.

    Keras's own `RandomPerspective` never moves the upper left corner, and the others only away
    from it or towards it.

    Args:
        share: How far a corner may move, as a share of half the height and half the width, 0 to 1.
    """

    probability = 0.5

    def __init__(self, share: float, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.share = share

    def change(self, images: Any) -> Any:
        """Warps; what was outside of the image is black."""
        _, height, width, _ = images.shape
        count = ops.shape(images)[0]
        corners = ops.convert_to_tensor(
            [[[0.0, 0.0], [width - 1.0, 0.0], [0.0, height - 1.0], [width - 1.0, height - 1.0]]]
        )
        inwards = ops.convert_to_tensor([[[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]])
        reach = ops.convert_to_tensor([[[width / 2, height / 2]]])
        moves = self.uniform((count, 4, 2), 0.0, self.share) * inwards * reach
        corners = ops.broadcast_to(corners, ops.shape(moves))
        warped = ops.image.perspective_transform(images, corners, corners + moves)
        return select(self.chosen(images, self.probability), warped, images)


def to_grey(images: Any) -> Any:
    """Returns the grey of images, `(images, height, width, 1)`."""
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
    """

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


class _Patch(ProbableAugmentation):
    """Chooses images and a rectangle in each.

    The area is uniform in `area` of the image and the aspect ratio log-uniform in `aspect` to
    1 / `aspect`.
    """

    area = (0.02, 0.4)
    aspect = 0.3

    def place(self, images: Any) -> tuple[Any, Any, Any, Any]:
        """Draws top, left, height and width of patches, `(images, 1, 1)` each, in pixels."""
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
    """

    def change(self, images: Any) -> Any:
        """Takes the colour out."""
        return _fade(images, *self.place(images))


@one_pass
def _fade(images: Any, *place: Any) -> Any:
    _, height, width, _ = images.shape
    grey = ops.reshape(to_grey(images), (-1, height, width))
    return _fill(images, ops.repeat(grey, 3, axis=2), *place)


@keras.saving.register_keras_serializable("siamese")
class CutMix(_Patch):
    """Puts a part of another image of the batch into an image (Yun et al., CutMix, ICCV 2019).

    A rectangle, drawn as for random erasing, or, in half of the images, all below a line between
    42 % and 60 % of the height: the upper clothes of one person with the lower of another. No label
    and no embedding of the whole images is right for the result, so a teacher must see it too.

    Args:
        probability: Share of the images that are changed, 0 to 1.
        seed: Start of the random numbers.
        **kwargs: Of `keras.layers.Layer`.
    """

    def change(self, images: Any) -> Any:
        """Mixes each image with the one before it in the batch."""
        top, left, tall, wide = self.place(images)
        _, height, width, _ = images.shape
        line = self.uniform(ops.shape(top), 0.42, 0.6) * height
        halves = (top < height) & (self.uniform(ops.shape(top)) < 0.5)
        return _mix(
            images,
            ops.where(halves, line, top),
            ops.where(halves, 0.0, left),
            ops.where(halves, float(height), tall),
            ops.where(halves, float(width), wide),
        )


@one_pass
def _mix(images: Any, *place: Any) -> Any:
    _, height, width, _ = images.shape
    return _fill(images, ops.reshape(ops.roll(images, 1, axis=0), (-1, height, width * 3)), *place)
