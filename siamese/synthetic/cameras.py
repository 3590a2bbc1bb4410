"""Cameras: their place, and their effect on a picture."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from siamese.synthetic import difficulty

_STREAM = 2
_NOISE_STREAM = 3
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Camera:
    """Everything that stays with a camera from person to person.

    Attributes:
        elevation: How far it looks down, in radians.
        turn: How people usually face it, in radians; 0 is towards it.
        light: -1 when the sun stands to its left, 1 to its right.
        fill: Share of a crop's height that a person takes.
        gains: Of red, green and blue, white balance and exposure together.
        gamma: Of the response curve.
        saturation: How much colour it leaves.
        blur: Radius, in pixels of an image 128 high.
        noise: Standard deviation, in levels.
    """

    elevation: float
    turn: float
    light: int
    fill: float
    gains: tuple[float, float, float]
    gamma: float
    saturation: float
    blur: float
    noise: float


@lru_cache(maxsize=256)
def make_camera(camera: int, seed: int) -> Camera:
    """Says what a camera is like, by number, whichever others there are with the same seed.

    Few cameras must differ as much as many do, so what matters most is spread over its range by
    the golden ratio in place of chance.
    """
    random = np.random.default_rng([seed, _STREAM, camera])
    first = np.random.default_rng([seed, _STREAM]).random(4)

    def spread(quantity: int, stride: float = _GOLDEN) -> float:
        return float((first[quantity] + camera * stride) % 1)

    hue = 2 * math.pi * spread(0)
    strength = difficulty.COLOUR_CAST * random.uniform(0.65, 1.0)
    exposure = difficulty.EXPOSURE * (2 * spread(1, math.sqrt(2)) - 0.95)
    red, green, blue = (
        math.exp(exposure + strength * math.cos(hue + 2 * math.pi * channel / 3) * weight)
        for channel, weight in enumerate((1.0, 0.55, 1.0))
    )
    return Camera(
        elevation=math.radians(4 + 22 * spread(2)),
        turn=2 * math.pi * spread(3) + float(random.normal(0, 0.15)),
        light=int(random.choice([-1, 1])),
        fill=float(random.uniform(0.86, 0.93)),
        gains=(red, green, blue),
        gamma=math.exp(difficulty.GAMMA * float(random.uniform(-1, 1))),
        saturation=float(random.uniform(*difficulty.SATURATION)),
        blur=float(random.uniform(*difficulty.BLUR)),
        noise=float(random.uniform(*difficulty.NOISE)),
    )


def develop(
    image: Image.Image, camera: Camera, gains: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.uint8]:
    """Turns a clean picture into what a camera delivers.

    Args:
        image: RGB, at its final size.
        camera: The camera.
        gains: Of this tracklet's light, `(3,)`; the camera's own come on top.
        random: Where this frame's noise is taken from.

    Returns:
        Pixels, `(height, width, 3)`, uint8.
    """
    width, height = image.size
    radius = camera.blur * height / 128
    if radius > 0.15:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    image = image.convert("RGB", _saturate(camera.saturation))
    pixels = np.asarray(image.point(_curve(camera, gains))).astype(np.float32)
    bank = _noise_bank(height, width)
    row, column = (int(random.integers(size)) for size in (height, width))
    pixels += bank[row : row + height, column : column + width] * np.float32(camera.noise)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _saturate(saturation: float) -> tuple[float, ...]:
    """The matrix that moves each colour towards its grey (ITU-R BT.601 weights)."""
    grey = np.tile(np.array([0.299, 0.587, 0.114, 0.0]), (3, 1)) * (1 - saturation)
    grey[:, :3] += saturation * np.eye(3)
    return tuple(float(weight) for weight in grey.ravel())


def _curve(camera: Camera, gains: NDArray[np.float64]) -> list[int]:
    levels = np.arange(256) / 255
    together = np.array(camera.gains) * gains
    exposed = levels[None, :] ** camera.gamma * together[:, None]
    # A soft shoulder: an overexposed camera loses contrast in the lights, not whole shirts.
    rolled = np.where(exposed > 0.7, 0.7 + 0.3 * np.tanh((exposed - 0.7) / 0.3), exposed)
    return [int(level) for level in np.clip(rolled * 255, 0, 255).ravel()]


@lru_cache(maxsize=4)
def _noise_bank(height: int, width: int) -> NDArray[np.float32]:
    """Standard normal noise, twice the image's size: windows of it are each frame's noise."""
    random = np.random.default_rng([_NOISE_STREAM, height, width])
    coloured = random.standard_normal((2 * height, 2 * width, 3), dtype=np.float32)
    grey = random.standard_normal((2 * height, 2 * width, 1), dtype=np.float32)
    return np.float32(0.5) * coloured + np.float32(0.85) * grey
