"""The operations of AutoAugment, RandAugment and AugMix, another one for each image of a batch.

Images of a batch need different operations, and an accelerator wants one program for all. So all
operations are reduced to three, which every image goes through: a warp (an affine map), a tone
curve (a table of 256 levels a channel) and a blend with another version of the image. Each image
then takes the one that its operation belongs to. Results are those of Pillow's functions of the
same names.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from siamese.augment.frame import as_rows, select
from siamese.augment.pixels import to_grey

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "contrast",
    "colour",
    "sharpness",
    "posterize",
    "solarize",
    "invert",
    "auto_contrast",
    "equalize",
)
"""Numbered by their place."""
WARPS = OPERATIONS[1:6]
BLENDS = OPERATIONS[6:10]
CURVES = OPERATIONS[10:]
FILL = 128.0
"""The fill of a warp from outside: the grey of AutoAugment."""


def number(names: Iterable[str]) -> NDArray[np.int32]:
    """Returns the numbers of operations, `(names,)`, int32.

    Example:
        >>> number(["identity", "rotate"]).tolist()
        [0, 5]
    """
    return np.array([OPERATIONS.index(name) for name in names], np.int32)


def measure(operation: Any, level: Any, sign: Any) -> Any:
    """Measures the change of each image in the unit of its operation, from a level without one.

    The ranges are those of AutoAugment (Cubuk et al. 2019, table 6).

    Args:
        operation: `(images,)`, int32, places in `OPERATIONS`.
        level: `(images,)`, 0 (least) to 1 (most).
        sign: `(images,)`, -1 or 1: which way, where there are two.

    Returns:
        `(images,)`: the slope of a shear (to 0.3), the share of a side of a translation (to 0.45),
        degrees of a rotation (to 30), the factor of a blend (0.1 to 1.9), bits (8 to 4) or the
        threshold of solarize (255 to 0); of no meaning for the others.
    """
    largest = {"rotate": 30.0, "translate_x": 150 / 331, "translate_y": 150 / 331}
    reach = np.zeros(len(OPERATIONS), np.float32)
    for name in WARPS:
        reach[OPERATIONS.index(name)] = largest.get(name, 0.3)
    for name in BLENDS:
        reach[OPERATIONS.index(name)] = 0.9
    centre = np.array([float(name in BLENDS) for name in OPERATIONS], np.float32)
    both_ways = ops.take(centre, operation) + ops.take(reach, operation) * level * sign
    bits = 8.0 - ops.round(4.0 * level)
    amount = ops.where(_is(operation, "posterize"), bits, both_ways)
    return ops.where(_is(operation, "solarize"), 255.0 * (1.0 - level), amount)


def operate(images: Any, operation: Any, amount: Any) -> Any:
    """Does one operation to each image.

    Args:
        images: `(images, height, width, 3)`, float, 0 to 255.
        operation: `(images,)`, int32, places in `OPERATIONS`.
        amount: `(images,)`, float, as `measure` gives.

    Returns:
        `(images, height, width, 3)`, 0 to 255.
    """
    results = images
    for names, change in ((WARPS, _warp), (BLENDS, _blend), (CURVES, _curve)):
        changed = change(images, operation, amount)
        results = select(_is(operation, names[0], names[-1]), changed, results)
    return results


def _is(operation: Any, first: str, last: str | None = None) -> Any:
    """Returns whether an operation is the one, or in the range, of these names."""
    low, high = OPERATIONS.index(first), OPERATIONS.index(last or first)
    return (operation >= low) & (operation <= high)


def _warp(images: Any, operation: Any, amount: Any) -> Any:
    _, height, width, _ = images.shape
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2

    def only(name: str, value: Any, otherwise: float = 0.0) -> Any:
        return ops.where(_is(operation, name), value, otherwise)

    # Where a pixel of the result comes from, about the middle; a turn is counter-clockwise.
    angle = only("rotate", amount * (np.pi / 180))
    cos, sin = ops.cos(angle), ops.sin(angle)
    across = only("shear_x", amount) - sin
    along = only("shear_y", amount) + sin
    right = only("translate_x", amount * width)
    down = only("translate_y", amount * height)
    transform = ops.stack(
        [
            cos,
            across,
            middle_x - cos * middle_x - across * middle_y - right,
            along,
            cos,
            middle_y - along * middle_x - cos * middle_y - down,
            ops.zeros_like(cos),
            ops.zeros_like(cos),
        ],
        axis=1,
    )
    return ops.image.affine_transform(images, transform, fill_mode="constant", fill_value=FILL)


def _blend(images: Any, operation: Any, amount: Any) -> Any:
    """Away from, or towards, black, the mean grey, the grey image or the blurred image."""
    grey = to_grey(images)
    mean = ops.mean(ops.round(grey), axis=(1, 2, 3))
    plain = ops.where(_is(operation, "contrast"), ops.floor(mean + 0.5), 0.0)
    other = select(_is(operation, "sharpness"), _blur(images), ops.repeat(grey, 3, axis=3))
    level = ops.where(
        _is(operation, "brightness", "contrast")[:, None], plain[:, None], as_rows(other)
    )
    changed = ops.clip(level + amount[:, None] * (as_rows(images) - level), 0.0, 255.0)
    return ops.reshape(changed, ops.shape(images))


def _blur(images: Any) -> Any:
    """Pillow's filter SMOOTH: 3 x 3 of weight 1, the middle of weight 5; the border stays."""
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    middle = (sums + 4.0 * images[:, 1:-1, 1:-1]) / 13.0
    middle = ops.concatenate([images[:, 1:-1, :1], middle, images[:, 1:-1, -1:]], axis=2)
    return ops.concatenate([images[:, :1], middle, images[:, -1:]], axis=1)


def _curve(images: Any, operation: Any, amount: Any) -> Any:
    """One table of 256 levels for each image and channel."""
    _, height, width, _ = images.shape
    levels = ops.cast(images + 0.5, "int32")  # the nearest, as images are 0 to 255
    channel = ops.reshape(ops.arange(3, dtype="int32"), (1, 1, 1, 3))
    image = ops.reshape(ops.arange(ops.shape(images)[0], dtype="int32"), (-1, 1, 1, 1))
    places = (image * 3 + channel) * 256 + levels
    kind = ops.reshape(operation, (-1, 1, 1))
    level = ops.reshape(ops.arange(256, dtype="float32"), (1, 1, 256))
    factor = ops.reshape(amount, (-1, 1, 1))
    step = ops.round(ops.power(2.0, 8.0 - factor))
    table = ops.where(_is(kind, "posterize"), ops.floor(level / step) * step, 255.0 - level)
    table = ops.where(_is(kind, "solarize") & (level < factor), level, table)
    table = ops.where(_is(kind, "auto_contrast"), _stretched(levels, level), table)
    table = ops.where(_is(kind, "equalize"), _equalised(places, levels, level), table)
    return ops.reshape(ops.take(ops.reshape(table, (-1,)), places), (-1, height, width, 3))


def _stretched(levels: Any, level: Any) -> Any:
    """From the darkest to the brightest level of each channel, `(images, 3, 256)`."""
    low = ops.cast(ops.min(levels, axis=(1, 2)), "float32")[:, :, None]
    high = ops.cast(ops.max(levels, axis=(1, 2)), "float32")[:, :, None]
    scale = 255.0 / ops.maximum(high - low, 1.0)
    # A hundredth, because 255 / 85 x 17 in float32 may fall short of the whole number.
    stretched = ops.clip(ops.floor((level - low) * scale + 0.01), 0.0, 255.0)
    return ops.where(high > low, stretched, level)


def _equalised(places: Any, levels: Any, level: Any) -> Any:
    """Levels equally often, as far as a table can, `(images, 3, 256)`."""
    _, height, width, _ = levels.shape
    flat = ops.reshape(places, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat), flat, num_segments=ops.shape(levels)[0] * 768)
    counts = ops.reshape(counts, (-1, 3, 256))
    brightest = ops.max(levels, axis=(1, 2))[:, :, None]
    step = (height * width - ops.take_along_axis(counts, brightest, axis=2)) // 255
    below = ops.cumsum(counts, axis=2) - counts
    safe = ops.maximum(step, 1)
    table = ops.minimum((below + safe // 2) // safe, 255)
    return ops.where(step > 0, ops.cast(table, "float32"), level)
