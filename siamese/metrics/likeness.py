"""Measures how unlike the images of a calibration others are: light, sharpness, colour.

Of what was tried (benchmarks/likeness.py), this tells a lone pair of other cameras; embeddings do
not: those of other cameras crowd together, which two of them cannot show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from siamese.metrics.blocks import Floats

SIZE = (128, 64)
"""Height and width in pixels at which images are measured."""
SHARE_WITHIN = 0.975
"""Share of the calibration's own pairs within the limit."""
_SEED = 0


@dataclass(frozen=True)
class Likeness:
    """Holds the appearance of the images of a calibration: `likeness` in a model's metadata.

    Attributes:
        mean: Of `measure_appearance`, five numbers.
        precision: The inverse covariance of the means of pairs of images, five rows of five.
        limit: The Mahalanobis distance that `SHARE_WITHIN` of these pairs have at most.
        images: How many images it comes from.
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float
    images: int

    def unlikeness(self, first: ArrayLike, second: ArrayLike) -> Floats:
        """Measures how unlike the calibration's pairs of images others are.

        Returns:
            `(pairs,)`, of two `(pairs, 5)` from `measure_appearance`: Mahalanobis distances of the
            pairs' means, in units of the limit; above 1 the error rates of the calibration are not
            to be relied on.
        """
        means = (np.asarray(first, np.float64) + np.asarray(second, np.float64)) / 2
        return _distances(means - np.array(self.mean), np.array(self.precision)) / self.limit

    def share_unlike(self, appearances: Floats) -> float:
        """Gives the share of pairs of images, drawn at random, that are beyond the limit."""
        first, second = _draw_pairs(appearances)
        return float((self.unlikeness(first, second) > 1).mean())

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Likeness":
        """Reads what `to_dict` gave, also from JSON."""
        rows = tuple(tuple(map(float, row)) for row in values["precision"])
        mean = tuple(map(float, values["mean"]))
        return cls(mean, rows, float(values["limit"]), int(values["images"]))


def measure_appearance(images: Iterable[NDArray[np.uint8]]) -> Floats:
    """Measures what a camera and its light make of an image.

    Args:
        images: RGB, `(height, width, 3)`, 0 to 255; sizes may differ.

    Returns:
        `(images, 5)`: brightness, contrast (standard deviation), sharpness (mean absolute
        Laplacian), saturation (largest less smallest of red, green and blue) and warmth (red less
        blue), each of pixels scaled to 1 at `SIZE`.

    Example:
        >>> measure_appearance([np.full((4, 2, 3), 51, np.uint8)]).round(2).tolist()
        [[0.2, 0.0, 0.0, 0.0, 0.0]]
    """
    found = []
    for image in images:
        small = Image.fromarray(image).resize(SIZE[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(small, np.float32) / 255
        grey = pixels.mean(axis=2)
        middle = 4 * grey[1:-1, 1:-1]
        middle -= grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        colour = pixels.max(axis=2) - pixels.min(axis=2)
        warmth = pixels[..., 0] - pixels[..., 2]
        found.append([grey.mean(), grey.std(), np.abs(middle).mean(), colour.mean(), warmth.mean()])
    return np.array(found, np.float64).reshape(-1, 5)


def fit_likeness(appearances: Floats) -> Likeness:
    """Learns the appearance of a calibration's images, `(images, 5)` of at least two."""
    first, second = _draw_pairs(appearances)
    means = (first + second) / 2
    covariance = np.cov(means.T)
    floor = 1e-6 * np.trace(covariance) + 1e-12  # equal images have no spread
    precision = np.linalg.inv(covariance + floor * np.eye(len(covariance)))
    centre = means.mean(axis=0)
    limit = float(np.quantile(_distances(means - centre, precision), SHARE_WITHIN))
    return Likeness(
        mean=tuple(centre.tolist()),
        precision=tuple(tuple(row) for row in precision.tolist()),
        limit=max(limit, 1e-6),
        images=len(appearances),
    )


def _draw_pairs(appearances: Floats) -> tuple[Floats, Floats]:
    """Pairs each image with another one, in a random circle."""
    order = np.random.default_rng(_SEED).permutation(len(appearances))
    return appearances[order], appearances[np.roll(order, 1)]


def _distances(offsets: Floats, precision: Floats) -> Floats:
    squares = np.einsum("ij,jk,ik->i", offsets, precision, offsets)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float64)
