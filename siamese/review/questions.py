"""The pairs whose answer would teach most, and the error rates that follow from the answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import distance_blocks, pair_distances
from siamese.metrics.calibration import Calibration, fit_calibration
from siamese.metrics.pairs import BINS, PairCounts, count_pairs
from siamese.review.answers import Answer, both, group, latest

ENOUGH_PAIRS = 10
NEAREST = 5
MOST_IMAGES = 3000
_LARGEST_DISTANCE = 4.0


def uncertain_pairs(
    embeddings: NDArray[np.float32],
    cameras: Sequence[int | None],
    threshold: float,
    *,
    skip: Collection[frozenset[int]] = (),
    last: Sequence[str | None] = (),
    count: int = 20,
    seed: int = 0,
) -> list[tuple[int, int]]:
    """Finds the pairs whose answer would teach most: near neighbours next to the threshold.

    Of each image only the `NEAREST` images of other cameras count, as these are what a search
    shows; an image is asked about at most twice. Of a large gallery, `MOST_IMAGES` are drawn.

    Args:
        embeddings: `(images, dimensions)`, of length 1.
        cameras: `(images,)`, None where not known.
        threshold: An Euclidean distance.
        skip: Pairs of rows that have an answer.
        last: `(images,)`, names; pairs of two named images come last. Empty: nobody has one.
        count: How many pairs at most.
        seed: Of the draw.

    Returns:
        Pairs of rows.

    Example:
        >>> points = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
        >>> uncertain_pairs(points, [1, 2, 3], 0.7, count=1)
        [(0, 1)]
    """
    if len(embeddings) < 2:
        return []
    rows = np.arange(len(embeddings))
    if len(rows) > MOST_IMAGES:
        drawn = np.random.default_rng(seed).choice(len(rows), MOST_IMAGES, replace=False)
        rows = np.sort(drawn)
    table, numbers = embeddings[rows], _numbers(cameras)[rows]
    blocks = distance_blocks(table, table)
    distances = np.concatenate([block.copy() for _, block in blocks])  # a block's memory is reused
    barred = (numbers[:, None] == numbers) & (numbers[:, None] >= 0)
    np.fill_diagonal(barred, True)
    distances[barred] = np.inf
    near = np.argsort(distances, axis=1, kind="stable")[:, :NEAREST]
    pairs = {
        (int(rows[min(one, other)]), int(rows[max(one, other)])): float(distances[one, other])
        for one in range(len(rows))
        for other in near[one].tolist()
        if np.isfinite(distances[one, other])
    }

    def key(pair: tuple[int, int]) -> tuple[bool, float]:
        known = bool(last) and all(last[row] is not None for row in pair)
        return known, abs(pairs[pair] - threshold)

    found: list[tuple[int, int]] = []
    asked = [0] * len(embeddings)
    for one, other in sorted(pairs, key=key):
        if frozenset((one, other)) not in skip and max(asked[one], asked[other]) < 2:
            asked[one] += 1
            asked[other] += 1
            found.append((one, other))
    return found[:count]


def recalibrate(
    answers: Sequence[Answer],
    names: Mapping[str, str],
    embeddings: NDArray[np.float32],
    paths: Sequence[str],
    cameras: Sequence[int | None],
    *,
    false_accept_rate: float = 1e-2,
) -> Calibration:
    """Measures the error rates anew, on people of this gallery instead of those of the model.

    All cross-camera pairs of named people count (after "same" has joined names and images), and
    the pairs that were answered. The latter are the hard ones: where few people have names, the
    rates are higher than those of any two images.

    Args:
        answers: All of them.
        names: Path to person of the images that have a name.
        embeddings: `(images, dimensions)`, of the gallery.
        paths: `(images,)`.
        cameras: `(images,)`, None where not known.
        false_accept_rate: What the threshold is set for.

    Raises:
        InputError: Fewer than `ENOUGH_PAIRS` pairs of one person, or of two, are known.
    """
    groups = group(answers, names)
    row_of = {path: row for row, path in enumerate(paths)}
    chosen = [row for row, path in enumerate(paths) if path in groups.named]
    people = [groups.person[paths[row]] for row in chosen]
    none = np.zeros(BINS, np.int64)
    counts = PairCounts(none, none, _LARGEST_DISTANCE / BINS, "euclidean", "all pairs", 0, 0)
    if len(people) > len(set(people)) >= 2:
        counts = count_pairs(embeddings[chosen], people, _numbers(cameras)[chosen])
    told = [each for each in latest(answers) if each.pair <= groups.person.keys() & row_of.keys()]
    taking_part = {*people, *(groups.person[path] for each in told for path in each.pair)}
    told = [each for each in told if not each.pair <= groups.named]  # those are counted above
    rows = np.array([[row_of[path] for path in both(each)] for each in told], np.int64)
    first, second = rows.reshape(-1, 2).T
    distances = pair_distances(embeddings, first, second)
    bins = np.clip(np.ceil(distances / counts.resolution) - 1, 0, BINS - 1).astype(np.int64)
    is_same = np.array([each.same for each in told], bool)
    same = counts.same + np.bincount(bins[is_same], minlength=BINS)
    different = counts.different + np.bincount(bins[~is_same], minlength=BINS)
    if same.sum() < ENOUGH_PAIRS or different.sum() < ENOUGH_PAIRS:
        raise InputError(
            f"at least {ENOUGH_PAIRS} pairs of one person and {ENOUGH_PAIRS} of two people are "
            f"needed. Received: {same.sum()} and {different.sum()}. Answer more pairs, or name "
            "people in the gallery."
        )
    whole = replace(counts, same=same, different=different, people=len(taking_part))
    return fit_calibration(whole, false_accept_rate=false_accept_rate)


def _numbers(cameras: Sequence[int | None]) -> NDArray[np.int64]:
    return np.array([-1 if each is None else each for each in cameras], np.int64)
