"""Distances of all pairs of images, counted in fine bins or sampled, for verification scores."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import (
    Floats,
    Indices,
    Metric,
    check_metric,
    checked_embeddings,
    squared_distance_blocks,
    to_distances,
)
from siamese.metrics.masks import DISTRACTORS, UNKNOWN_CAMERA, People, checked_cameras, person_codes

PairProtocol: TypeAlias = Literal["cross-camera pairs", "all pairs"]

BINS = 1 << 17
_ROWS = 512
_SLICE = 1 << 18
_IMAGES_A_PERSON = 500  # in a sample: their 124,750 pairs are plenty


@dataclass(frozen=True)
class PairCounts:
    """How many pairs lie at which distance.

    Attributes:
        same: `(bins,)`, pairs of one person. Bin `k` holds distances in `(k, k + 1] * resolution`,
            the first also distance 0.
        different: `(bins,)`, pairs of two people.
        resolution: The width of a bin.
        metric: "euclidean" or "cosine".
        protocol: "cross-camera pairs", or "all pairs" where nobody was seen by two known cameras.
        people: How many people the pairs come from.
        people_left_out: How many were left out to stay below the largest number of images.
    """

    same: Indices
    different: Indices
    resolution: float
    metric: Metric
    protocol: PairProtocol
    people: int
    people_left_out: int

    def histogram(self, width: float = 0.01) -> tuple[Floats, Indices, Indices]:
        """Joins bins, for a picture.

        Args:
            width: Of the joined bins, a distance.

        Returns:
            Of the joined bins: middle, pairs of one person, pairs of two people.
        """
        group = max(1, round(width / self.resolution))
        starts = np.arange(0, len(self.same), group)
        middles: Floats = (starts + group / 2) * np.float64(self.resolution)
        same: Indices = np.add.reduceat(self.same, starts)
        different: Indices = np.add.reduceat(self.different, starts)
        return middles, same, different

    def weights(self) -> tuple[Floats, Floats, Floats]:
        """Weighs the pairs of the bins in use as if both kinds were equally frequent.

        Returns:
            The middle distance of each bin that holds pairs, `(used bins,)`, and the shares of
            pairs of one person and of two people in it, which sum to 1/2 each.
        """
        used = np.flatnonzero(self.same + self.different)
        same = self.same[used] / (2 * self.same.sum())
        different = self.different[used] / (2 * self.different.sum())
        return (used.astype(np.float64) + 0.5) * self.resolution, same, different


@dataclass(frozen=True)
class PairSample:
    """Some pairs with the people in them, for bootstrap intervals.

    Attributes:
        distances: `(pairs,)`, float32.
        first_person: `(pairs,)`, whole numbers from 0.
        second_person: `(pairs,)`; equal to `first_person` in pairs of one person.
        protocol: As in `PairCounts`.
    """

    distances: NDArray[np.float32]
    first_person: Indices
    second_person: Indices
    protocol: PairProtocol


def count_pairs(
    embeddings: ArrayLike,
    people: People,
    cameras: ArrayLike,
    *,
    metric: Metric = "euclidean",
    distractors: Collection[str | int] = DISTRACTORS,
    maximum_images: int = 30_000,
    seed: int = 0,
) -> PairCounts:
    """Counts the distances of every two images of different, known cameras.

    Each pair counts once. Where nobody was seen by two known cameras, every two images are a pair
    instead. Junk and distractors take no part: who they show is not known. Memory is a few blocks
    of distances, whatever the number of pairs; the exact distances are rounded up to the next of
    131,072 steps between 0 and the largest possible one (2 for vectors of length 1: steps of
    1.5e-5).

    Args:
        embeddings: `(images, dimensions)`, float16, float32 or float64; for a dataset with query
            and gallery folders, both together.
        people: `(images,)`, text or whole numbers.
        cameras: `(images,)`, whole numbers, -1 where unknown.
        metric: "euclidean" or "cosine".
        distractors: Names of the distractors.
        maximum_images: Of a larger set, whole people are drawn at random up to this many images, as
            time grows with the square.
        seed: Of that draw.

    Returns:
        The counts.

    Raises:
        InputError: Something is empty, not finite or disagrees, or there are no pairs of one person
            or none of two people.

    Example:
        >>> pairs = count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])
        >>> (np.flatnonzero(pairs.same) + 1) * pairs.resolution
        array([1.])
        >>> (np.flatnonzero(pairs.different) + 1) * pairs.resolution
        array([2., 3.])
    """
    table, _, codes, numbers, protocol = paired_images(
        embeddings, people, cameras, metric=metric, distractors=distractors
    )
    everybody = len(np.unique(codes))
    if len(codes) > maximum_images:
        chosen = whole_people(codes, maximum_images, np.random.default_rng(seed))
        table, codes, numbers = table[chosen], codes[chosen], numbers[chosen]
    largest = 2.0
    if metric == "euclidean":
        squares = np.einsum("ij,ij->i", table, table, dtype=np.float64)
        # By the triangle inequality; a power of two keeps whole and half distances on bin edges.
        # Vectors of length 1 are longer by a rounding, which must not double the steps.
        largest = 2.0 ** np.ceil(np.log2(2 * np.sqrt(squares.max()) * (1 - 1e-6) + 1e-12))
    resolution = float(largest / BINS)
    same, every = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for distances, alike in _pair_blocks(table, codes, numbers, protocol, metric):
        # Slices that stay in the processor's cache take half the time of whole blocks.
        for start in range(0, distances.size, _SLICE):
            part = slice(start, start + _SLICE)
            scaled = distances[part] * np.float32(1 / resolution)
            bins = np.ceil(scaled, out=scaled).astype(np.int64)
            bins -= 1
            np.clip(bins, 0, BINS - 1, out=bins)
            every += np.bincount(bins, minlength=BINS)
            same += np.bincount(bins[alike[part]], minlength=BINS)
    different = every - same
    taking_part = len(np.unique(codes))
    if not same.any() or not different.any():
        raise InputError(
            "Pairs of one person and of two people are both needed. Received: "
            f"{same.sum()} and {different.sum()} pairs of {taking_part} people. "
            "Give at least two people, one of them with two images."
        )
    return PairCounts(
        same, different, resolution, metric, protocol, taking_part, everybody - taking_part
    )


def sample_pairs(
    embeddings: ArrayLike,
    people: People,
    cameras: ArrayLike,
    *,
    metric: Metric = "euclidean",
    distractors: Collection[str | int] = DISTRACTORS,
    size: int = 50_000,
    seed: int = 0,
) -> PairSample:
    """Draws pairs of one person and pairs of two people, at most `size` of each.

    Args:
        embeddings: `(images, dimensions)`.
        people: `(images,)`, text or whole numbers.
        cameras: `(images,)`, whole numbers, -1 where unknown.
        metric: "euclidean" or "cosine".
        distractors: Names of the distractors.
        size: The largest number of pairs of each kind. All pairs of one person are taken where
            there are no more (of at most 500 images a person); pairs of two people are drawn with
            replacement.
        seed: Of the draw.

    Returns:
        The sample, by the protocol of `count_pairs`.

    Raises:
        InputError: As `count_pairs`.

    Example:
        >>> sample = sample_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3], size=2)
        >>> sample.distances[sample.first_person == sample.second_person]
        array([1.], dtype=float32)
    """
    table, _, codes, numbers, protocol = paired_images(
        embeddings, people, cameras, metric=metric, distractors=distractors
    )
    random = np.random.default_rng(seed)
    cross = protocol == "cross-camera pairs"
    pairs = []
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        rows = random.permutation(rows)[:_IMAGES_A_PERSON]
        first, second = (rows[side] for side in np.triu_indices(len(rows), 1))
        kept = (numbers[first] != numbers[second]) | (not cross)
        pairs.append(np.stack([first[kept], second[kept]]))
    same = np.concatenate(pairs, axis=1)
    if same.shape[1] > size:
        same = same[:, random.choice(same.shape[1], size, replace=False)]
    # Cameras and people are seldom so lopsided that a fifth of random pairs does not qualify.
    drawn = random.integers(0, len(codes), (2, 20 * size))
    first, second = drawn
    kept = codes[first] != codes[second]
    if cross:
        kept &= numbers[first] != numbers[second]
    different = drawn[:, kept][:, :size]
    if not same.shape[1] or not different.shape[1]:
        raise InputError(
            "Pairs of one person and of two people are both needed. Received: "
            f"{same.shape[1]} and {different.shape[1]} pairs. "
            "Give at least two people, one of them with two images."
        )
    first, second = np.concatenate([same, different], axis=1)
    return PairSample(
        distances_of(table, first, second, metric), codes[first], codes[second], protocol
    )


def paired_images(
    embeddings: ArrayLike,
    people: People,
    cameras: ArrayLike,
    *,
    metric: Metric,
    distractors: Collection[str | int],
) -> tuple[NDArray[Any], Indices, Indices, Indices, PairProtocol]:
    """Chooses the images that take part in pairs, and which pairs count.

    Args:
        embeddings: `(images, dimensions)`.
        people: `(images,)`, text or whole numbers.
        cameras: `(images,)`, whole numbers, -1 where unknown.
        metric: "euclidean" or "cosine".
        distractors: Names of the distractors.

    Returns:
        Of the images that take part: embeddings, rows, people as numbers and cameras; and
        "cross-camera pairs", or "all pairs" where nobody was seen by two known cameras.

    Raises:
        InputError: Something is empty, not finite or disagrees.
    """
    check_metric(metric)
    table = checked_embeddings(embeddings, "embeddings")
    codes = person_codes(people, distractors=distractors)
    numbers = checked_cameras(cameras, len(codes), "cameras")
    if len(codes) != len(table):
        raise InputError(
            f"There must be one person for each of {len(table)} embeddings. Received: "
            f"{len(codes)}. Give people and embeddings of the same images, in the same order."
        )
    somebody = codes >= 0
    seen = somebody & (numbers != UNKNOWN_CAMERA)
    views = np.unique(np.stack([codes[seen], numbers[seen]]), axis=1)[0]
    cross = len(np.unique(views)) < len(views)
    chosen = np.flatnonzero(seen if cross else somebody)
    protocol: PairProtocol = "cross-camera pairs" if cross else "all pairs"
    return table[chosen], chosen, codes[chosen], numbers[chosen], protocol


def whole_people(codes: Indices, images: int, random: np.random.Generator) -> Indices:
    """Draws people, with all their images, up to a number of images.

    Args:
        codes: `(images,)`, the person of each image.
        images: The largest number of images.
        random: Of the draw.

    Returns:
        Rows, rising, int64.

    Raises:
        InputError: There is no room for anybody.
    """
    people, counts = np.unique(codes, return_counts=True)
    order = random.permutation(len(people))
    taken = people[order[np.cumsum(counts[order]) <= images]]
    if not len(taken):
        raise InputError(
            f"`maximum_images` must leave room for a person. Received: {images}. Raise it."
        )
    return np.flatnonzero(np.isin(codes, taken))


def _pair_blocks(
    table: NDArray[Any], codes: Indices, cameras: Indices, protocol: PairProtocol, metric: Metric
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    if protocol == "cross-camera pairs":
        # With images in the order of their cameras, those of later cameras are one slice: no mask.
        order = np.argsort(cameras, kind="stable")
        table, codes, cameras = table[order], codes[order], cameras[order]
        _, starts = np.unique(cameras, return_index=True)
        for start, stop in pairwise(starts):
            yield from _rectangle(table, codes, slice(start, stop), stop, metric)
        return
    for start in range(0, len(table), _ROWS):
        rows = slice(start, min(start + _ROWS, len(table)))
        _, square = next(squared_distance_blocks(table[rows], table[rows], metric=metric))
        upper = np.triu_indices(len(square), 1)
        triangle = square[upper]
        to_distances(triangle, metric)
        yield triangle, codes[rows][upper[0]] == codes[rows][upper[1]]
        if rows.stop < len(table):
            yield from _rectangle(table, codes, rows, rows.stop, metric)


def _rectangle(
    table: NDArray[Any], codes: Indices, rows: slice, first_column: int, metric: Metric
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    row_codes, column_codes = codes[rows], codes[first_column:]
    for start, block in squared_distance_blocks(table[rows], table[first_column:], metric=metric):
        to_distances(block, metric)
        alike = row_codes[start : start + len(block), None] == column_codes
        yield block.ravel(), alike.ravel()


def distances_of(
    table: NDArray[Any], first: Indices, second: Indices, metric: Metric
) -> NDArray[np.float32]:
    """Computes the distances of some pairs, from differences and so without loss.

    Args:
        table: Checked embeddings, `(images, dimensions)`.
        first: `(pairs,)`, rows.
        second: `(pairs,)`, rows.
        metric: "euclidean" or "cosine".

    Returns:
        `(pairs,)`, float32.
    """
    distances: Floats = np.empty(len(first))
    for start in range(0, len(first), 1 << 14):
        chosen = slice(start, start + (1 << 14))
        left = np.asarray(table[first[chosen]], np.float32)
        right = np.asarray(table[second[chosen]], np.float32)
        if metric == "euclidean":
            distances[chosen] = np.linalg.norm(left - right, axis=1)
        else:
            lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
            cosine = np.einsum("ij,ij->i", left, right) / np.where(lengths > 0, lengths, 1)
            distances[chosen] = np.maximum(1 - cosine, 0)
    return distances.astype(np.float32)
