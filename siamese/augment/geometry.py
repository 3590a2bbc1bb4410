"""Where the pixels of an image go."""

from typing import Any, ClassVar

import keras
from keras import ops

from siamese.augment.frame import Augmentation, one_pass, select


@keras.saving.register_keras_serializable("siamese")
class PadAndCrop(Augmentation):
    """Pads with black and crops the old size at random, each image by itself.

    Keras's `RandomCrop` takes one place for the whole batch.

    Args:
        padding: Pixels on each side at an image height of 128; in proportion at other heights.
        flip: Mirror half of the images left to right, in the same pass over the pixels; Keras's
            `RandomFlip` is another one that costs twice as much.
        seed: Start of the random numbers.
        **kwargs: Of `keras.layers.Layer`.
    """

    options: ClassVar[tuple[str, ...]] = ("padding", "flip")
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
        seed: Start of the random numbers.
        **kwargs: Of `keras.layers.Layer`.
    """

    options: ClassVar[tuple[str, ...]] = ("share",)
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
