"""Where a model fails: two people who look most alike to it, one person who looks least alike."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.metrics.blocks import Indices, Metric, squared_distance_blocks
from siamese.metrics.masks import DISTRACTORS, People
from siamese.metrics.pairs import distances_of, paired_images, whole_people


@dataclass(frozen=True)
class HardPairs:
    """Pairs of images that a model gets most wrong, the worst first.

    Attributes:
        first: `(pairs,)`, rows.
        second: `(pairs,)`, rows.
        distances: `(pairs,)`, float32.
    """

    first: Indices
    second: Indices
    distances: NDArray[np.float32]


def hardest_pairs(
    embeddings: ArrayLike,
    people: People,
    cameras: ArrayLike,
    *,
    metric: Metric = "euclidean",
    distractors: Collection[str | int] = DISTRACTORS,
    count: int = 12,
    maximum_images: int = 10_000,
    seed: int = 0,
) -> tuple[HardPairs, HardPairs]:
    """Finds the most alike images of two people, and the least alike images of one person.

    Pairs are those of `count_pairs`: of two known cameras, wherever somebody was seen by two. Each
    image is compared with all others; of its nearest stranger and of its farthest image of its own
    person the worst are kept, every two people (every one person) once.

    Args:
        embeddings: `(images, dimensions)`, float16, float32 or float64.
        people: `(images,)`, text or whole numbers.
        cameras: `(images,)`, whole numbers, -1 where unknown.
        metric: "euclidean" or "cosine".
        distractors: Names of the distractors.
        count: The largest number of pairs of each kind.
        maximum_images: Of a larger set, whole people are drawn at random up to this many images.
        seed: Of that draw.

    Returns:
        Pairs of two people, nearest first; pairs of one person, farthest first.

    Raises:
        InputError: Something is empty, not finite or disagrees.

    Example:
        >>> alike, apart = hardest_pairs(
        ...     [[0.0], [1.0], [1.1], [5.0]], ["a", "a", "b", "b"], [1, 2, 1, 2]
        ... )
        >>> alike.first.tolist(), alike.second.tolist(), apart.first.tolist()
        ([1], [2], [2, 0])
    """
    table, rows, codes, numbers, protocol = paired_images(
        embeddings, people, cameras, metric=metric, distractors=distractors
    )
    if len(codes) > maximum_images:
        chosen = whole_people(codes, maximum_images, np.random.default_rng(seed))
        table, rows, codes, numbers = table[chosen], rows[chosen], codes[chosen], numbers[chosen]
    images = np.arange(len(codes))
    stranger, relative = np.full((2, len(codes)), -1, np.int64)
    for start, keys in squared_distance_blocks(table, table, metric=metric):
        part = slice(start, start + len(keys))
        alike = codes[part, None] == codes
        paired = images[part, None] != images
        if protocol == "cross-camera pairs":
            paired = numbers[part, None] != numbers
        for found, kind, worst in (
            (stranger, paired & ~alike, keys),
            (relative, paired & alike, -keys),
        ):
            nearest = np.where(kind, worst, np.inf).argmin(axis=1)
            found[part] = np.where(kind.any(axis=1), nearest, -1)
    return (
        _worst(table, rows, codes, images, stranger, metric, count, sign=1),
        _worst(table, rows, codes, images, relative, metric, count, sign=-1),
    )


def _worst(
    table: NDArray[np.floating],
    rows: Indices,
    codes: Indices,
    images: Indices,
    partner: Indices,
    metric: Metric,
    count: int,
    *,
    sign: int,
) -> HardPairs:
    first, second = images[partner >= 0], partner[partner >= 0]
    distances = distances_of(table, first, second, metric)
    order = np.argsort(sign * distances, kind="stable")
    who = np.sort(np.stack([codes[first], codes[second]]), axis=0)[:, order]
    _, earliest = np.unique(who, axis=1, return_index=True)
    kept = order[np.sort(earliest)[:count]]
    return HardPairs(rows[first[kept]], rows[second[kept]], distances[kept])
