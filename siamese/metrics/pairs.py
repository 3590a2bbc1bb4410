"""Distances of all pairs of images, counted in fine bins or sampled, for verification scores."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import (
    Floats,
    Indices,
    Metric,
    check_metric,
    checked_embeddings,
    distance_blocks,
    pair_distances,
)
from siamese.metrics.masks import DISTRACTORS, UNKNOWN_CAMERA, People, checked_cameras, person_codes

PairProtocol: TypeAlias = Literal["cross-camera pairs", "all pairs"]

BINS = 1 << 17
_ROWS = 512
_SLICE = 1 << 18
_IMAGES_A_PERSON = 500  # in a sample: their 124,750 pairs are plenty


@dataclass(frozen=True, eq=False)  # counts are told apart by identity
class PairCounts:
    """Numbers of pairs by their distance.

    Attributes:
        same: `(bins,)`, pairs of one person. Bin `k` holds distances in `(k, k + 1] * resolution`,
            the first also distance 0.
        different: `(bins,)`, pairs of two people.
        resolution: The width of a bin.
        metric: "euclidean" or "cosine".
        protocol: "cross-camera pairs", or "all pairs" where nobody was seen by two known cameras.
        people: Number of people the pairs come from.
        people_left_out: Number left out to stay below the largest number of images.
    """

    same: Indices
    different: Indices
    resolution: float
    metric: Metric
    protocol: PairProtocol
    people: int
    people_left_out: int

    def histogram(self, width: float = 0.01) -> tuple[Floats, Indices, Indices]:
        """Joins bins to ones of a width, a distance, for a picture.

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
    """

    distances: NDArray[np.float32]
    first_person: Indices
    second_person: Indices


@dataclass(frozen=True)
class HardPairs:
    """Pairs of images that a model gets most wrong, the worst first: `(pairs,)` each."""

    first: Indices
    second: Indices
    distances: NDArray[np.float32]


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
    images = _choose_images(embeddings, people, cameras, metric, distractors)
    everybody = len(np.unique(images.codes))
    images = images.draw_people(maximum_images, seed)
    largest = 2.0
    if metric == "euclidean":
        squares = np.einsum("ij,ij->i", images.table, images.table, dtype=np.float64)
        # By the triangle inequality; a power of two keeps whole and half distances on bin edges.
        # Vectors of length 1 are longer by a rounding, which must not double the steps.
        largest = 2.0 ** np.ceil(np.log2(2 * np.sqrt(squares.max()) * (1 - 1e-6) + 1e-12))
    resolution = float(largest / BINS)
    same, every = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for distances, alike in _pair_blocks(images, metric):
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
    _require_both(int(same.sum()), int(different.sum()))
    taking_part = len(np.unique(images.codes))
    left_out = everybody - taking_part
    return PairCounts(same, different, resolution, metric, images.protocol, taking_part, left_out)


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

    All pairs of one person are taken where there are no more (of at most 500 images a person);
    pairs of two people are drawn with replacement. The rest is as for `count_pairs`.

    Raises:
        InputError: As `count_pairs`.

    Example:
        >>> sample = sample_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3], size=2)
        >>> sample.distances[sample.first_person == sample.second_person]
        array([1.], dtype=float32)
    """
    images = _choose_images(embeddings, people, cameras, metric, distractors)
    codes, views = images.codes, images.views
    random = np.random.default_rng(seed)
    pairs = []
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        rows = random.permutation(rows)[:_IMAGES_A_PERSON]
        first, second = (rows[side] for side in np.triu_indices(len(rows), 1))
        kept = views[first] != views[second]
        pairs.append(np.stack([first[kept], second[kept]]))
    same = np.concatenate(pairs, axis=1)
    if same.shape[1] > size:
        same = same[:, random.choice(same.shape[1], size, replace=False)]
    # Cameras and people are seldom so lopsided that a fifth of random pairs does not qualify.
    drawn = random.integers(0, len(codes), (2, 20 * size))
    first, second = drawn
    kept = (codes[first] != codes[second]) & (views[first] != views[second])
    different = drawn[:, kept][:, :size]
    _require_both(same.shape[1], different.shape[1])
    first, second = np.concatenate([same, different], axis=1)
    distances = pair_distances(images.table, first, second, metric=metric).astype(np.float32)
    return PairSample(distances, codes[first], codes[second])


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

    Pairs are those of `count_pairs`, which takes the same arguments: of two known cameras, wherever
    somebody was seen by two. Each image is compared with all others; of its nearest stranger and of
    its farthest image of its own person the `count` worst are kept, every two people (every one
    person) once.

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
    images = _choose_images(embeddings, people, cameras, metric, distractors)
    images = images.draw_people(maximum_images, seed)
    table, codes, views = images.table, images.codes, images.views
    partners = np.full((2, len(codes)), -1, np.int64)  # of another person, of the same
    for start, keys in distance_blocks(table, table, metric=metric, squared=True):
        part = slice(start, start + len(keys))
        alike, paired = codes[part, None] == codes, views[part, None] != views
        for found, kind, worst in zip(
            partners, (paired & ~alike, paired & alike), (keys, -keys), strict=True
        ):
            nearest = np.where(kind, worst, np.inf).argmin(axis=1)
            found[part] = np.where(kind.any(axis=1), nearest, -1)
    hard = []
    for found, sign in zip(partners, (1, -1), strict=True):
        first = np.flatnonzero(found >= 0)
        second = found[first]
        distances = pair_distances(table, first, second, metric=metric).astype(np.float32)
        order = np.argsort(sign * distances, kind="stable")
        who = np.sort(np.stack([codes[first], codes[second]]), axis=0)[:, order]
        _, earliest = np.unique(who, axis=1, return_index=True)
        kept = order[np.sort(earliest)[:count]]
        rows = images.rows[first[kept]], images.rows[second[kept]]
        hard.append(HardPairs(*rows, distances[kept]))
    return hard[0], hard[1]


class _Images(NamedTuple):
    """Images that take part in pairs: those of two different views are one.

    Attributes:
        table: Checked embeddings, `(images, dimensions)`.
        rows: `(images,)`, their rows among all images.
        codes: `(images,)`, people as numbers.
        views: `(images,)`, cameras; or the number of the image, where every two images are a pair.
        protocol: As in `PairCounts`.
    """

    table: NDArray[Any]
    rows: Indices
    codes: Indices
    views: Indices
    protocol: PairProtocol

    def draw_people(self, images: int, seed: int) -> "_Images":
        """Draws people, with all their images, where there are more than so many images."""
        if len(self.codes) <= images:
            return self
        people, counts = np.unique(self.codes, return_counts=True)
        order = np.random.default_rng(seed).permutation(len(people))
        taken = people[order[np.cumsum(counts[order]) <= images]]
        if not len(taken):
            raise InputError(
                f"`maximum_images` must leave room for a person. Received: {images}. Raise it."
            )
        kept = np.isin(self.codes, taken)
        return _Images(
            self.table[kept], self.rows[kept], self.codes[kept], self.views[kept], self.protocol
        )


def _choose_images(
    embeddings: ArrayLike,
    people: People,
    cameras: ArrayLike,
    metric: Metric,
    distractors: Collection[str | int],
) -> _Images:
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
    people_seen = np.unique(np.stack([codes[seen], numbers[seen]]), axis=1)[0]
    if len(np.unique(people_seen)) < len(people_seen):
        rows = np.flatnonzero(seen)
        return _Images(table[rows], rows, codes[rows], numbers[rows], "cross-camera pairs")
    rows = np.flatnonzero(somebody)
    return _Images(table[rows], rows, codes[rows], rows, "all pairs")


def _require_both(same: int, different: int) -> None:
    if not same or not different:
        raise InputError(
            "Pairs of one person and of two people are both needed. Received: "
            f"{same} and {different} pairs. Give at least two people, one of them with two images."
        )


def _pair_blocks(
    images: _Images, metric: Metric
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    cross = images.protocol == "cross-camera pairs"
    groups = images.views if cross else np.arange(len(images.rows)) // _ROWS
    # With images in the order of their groups, those of later groups are one slice: no mask.
    order = np.argsort(groups, kind="stable")
    table, codes = images.table[order], images.codes[order]
    _, starts = np.unique(groups[order], return_index=True)
    for start, stop in pairwise([*starts.tolist(), len(table)]):
        rows, own = table[start:stop], codes[start:stop]
        if not cross:  # the pairs within a group
            _, square = next(distance_blocks(rows, rows, metric=metric))
            upper = np.triu_indices(len(square), 1)
            yield square[upper], own[upper[0]] == own[upper[1]]
        if stop == len(table):
            return
        for first, block in distance_blocks(rows, table[stop:], metric=metric):
            alike = own[first : first + len(block), None] == codes[stop:]
            yield block.ravel(), alike.ravel()
