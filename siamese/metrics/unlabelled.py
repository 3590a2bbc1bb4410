"""Calibration on crops of unknown people: statistics of each camera, and a table of false accepts.

Nearly all pairs of images by two cameras show two people. So the share of pairs below a distance is
nearly the false-accept rate there; how nearly, a mixture of two distributions estimates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import Floats, Indices, distance_blocks, unit_rows
from siamese.metrics.calibration import Calibration, fit_calibration, logistic
from siamese.metrics.masks import UNKNOWN_CAMERA
from siamese.metrics.pairs import PairCounts

Pairing: TypeAlias = Literal["two cameras", "two tracklets", "any two images"]

STEPS = 4096
"""Bins of distances from 0 to 2."""
PRIOR_IMAGES = 20
"""Images that the whole counts for where the deviations of one camera are estimated."""
LARGEST = 4000
"""Images that pairs are made of; of more, so many are drawn."""
_ROUNDS = 100
_JOINED = 8  # bins that the estimate of the mixture joins


@dataclass(frozen=True)
class CameraStatistics:
    """Mean and deviation of the embeddings of a camera.

    Attributes:
        mean: `(dimensions,)`.
        deviation: `(dimensions,)`, above 0.
        images: How many images they come from.
    """

    mean: Floats
    deviation: Floats
    images: int


@dataclass(frozen=True)
class UnlabelledPairs:
    """Distances of the pairs that were taken for pairs of two people.

    Attributes:
        counts: `(STEPS,)`; bin k holds distances in (k, k + 1] * 2 / STEPS, the first also 0.
        pairing: Which pairs count.
        images: How many images they come from.
    """

    counts: Indices
    pairing: Pairing
    images: int


def camera_statistics(
    embeddings: NDArray[np.float32], cameras: NDArray[np.int64]
) -> dict[int, CameraStatistics]:
    """Measures the embeddings of each camera.

    Means are shrunk towards the mean of all cameras by the ratio of the variance within cameras to
    that between them, variances towards that within all cameras, as if `PRIOR_IMAGES` images more
    had it (empirical Bayes; Efron and Morris, JASA 1973). So a camera of one image is as the whole.

    Args:
        embeddings: `(images, dimensions)`, unit vectors.
        cameras: `(images,)`, -1 where unknown.

    Returns:
        The statistics by camera; those of -1 are of all images, for images of any other camera.

    Raises:
        InputError: There are fewer than two images.
    """
    if len(embeddings) < 2:
        raise InputError(
            f"Statistics of cameras need at least two images. Received: {len(embeddings)}. "
            "Give some 20 images a camera."
        )
    rows = np.asarray(embeddings, np.float64)
    numbers, codes, counts = np.unique(cameras, return_inverse=True, return_counts=True)
    means = np.stack([rows[codes == code].mean(axis=0) for code in range(len(numbers))])
    squares = (rows - means[codes]) ** 2
    within = squares.sum(axis=0) / max(len(rows) - len(numbers), 1)
    floor = 1e-6 * float(rows.var(axis=0).mean()) + 1e-12
    centre = means.mean(axis=0)
    weight = 0.0
    if len(numbers) > 1:
        noise = float(within.mean()) * float((1 / counts).mean())
        between = max(float(means.var(axis=0, ddof=1).mean()) - noise, floor)
        weight = min(float(within.mean()) / between, PRIOR_IMAGES)
    statistics = {
        UNKNOWN_CAMERA: CameraStatistics(
            rows.mean(axis=0), np.sqrt(rows.var(axis=0) + floor), len(rows)
        )
    }
    for code, (number, count) in enumerate(zip(numbers.tolist(), counts.tolist(), strict=True)):
        if number == UNKNOWN_CAMERA:
            continue
        variance = squares[codes == code].sum(axis=0) + PRIOR_IMAGES * within
        statistics[number] = CameraStatistics(
            (count * means[code] + weight * centre) / (count + weight),
            np.sqrt(variance / (count + PRIOR_IMAGES) + floor),
            count,
        )
    return statistics


def standardise(
    embeddings: ArrayLike, cameras: ArrayLike, statistics: Mapping[int, CameraStatistics]
) -> NDArray[np.float32]:
    """Subtracts the mean of each image's camera, divides by the deviation, and brings to length 1.

    A camera without statistics of its own takes those of -1. Source: Song, Park and Lee, ICLR 2025
    (arXiv 2502.10195); in speaker verification Z-norm and its kin.

    Returns:
        Unit vectors, `(images, dimensions)`, float32, of embeddings and cameras `(images,)`.
    """
    rows = np.array(embeddings, np.float64)
    numbers = np.asarray(cameras, np.int64)
    for number in np.unique(numbers).tolist():
        found = statistics.get(number, statistics[UNKNOWN_CAMERA])
        chosen = numbers == number
        rows[chosen] = (rows[chosen] - found.mean) / found.deviation
    return unit_rows(rows)


def count_unlabelled(
    embeddings: NDArray[np.float32],
    cameras: NDArray[np.int64],
    tracklets: NDArray[np.int64],
    *,
    seed: int = 0,
) -> UnlabelledPairs:
    """Counts the distances of pairs that hardly ever show one person.

    These are the pairs of two known cameras; where there are no two, the pairs of two tracklets of
    a camera; where tracklets are not known either, all pairs. Of more than `LARGEST` images, so
    many are drawn.

    Args:
        embeddings: `(images, dimensions)`, unit vectors.
        cameras: `(images,)`, -1 where unknown.
        tracklets: `(images,)`, -1 where unknown.
        seed: Of the draw.

    Raises:
        InputError: There is no such pair.
    """
    counts = np.zeros(STEPS, np.int64)
    pairing, groups = _groups(cameras, tracklets)
    kept = _draw(np.flatnonzero(groups >= 0), seed)
    rows, groups = embeddings[kept], groups[kept]
    for start, distances in distance_blocks(rows, rows):
        block = np.arange(start, start + len(distances))[:, None]
        chosen = (np.arange(len(rows)) > block) & (groups[block] != groups)
        counts += np.bincount(_bins(distances[chosen]), minlength=STEPS)
    if not counts.any():
        raise InputError(
            "Pairs of images by two cameras, or of two tracklets, are needed. Received: images of "
            "one. Give crops of several people."
        )
    return UnlabelledPairs(counts, pairing, len(rows))


def estimate_same_person(counts: Indices) -> tuple[Floats, float]:
    """Estimates which pairs show one person after all.

    The cosines are taken for a mixture: a skew normal distribution (Azzalini, Scandinavian Journal
    of Statistics 1985), fitted by its moments, of pairs of two people, and a normal one above it.
    (Unsupervised calibration by expectation maximisation: Bruemmer and Garcia-Romero, Generative
    Modelling for Unsupervised Score Calibration, ICASSP 2014.)

    Args:
        counts: Of `UnlabelledPairs`, `(STEPS,)`.

    Returns:
        Of each bin the probability of one person, `(STEPS,)`, 0 to 1; and the share of such pairs.
    """
    joined = counts.reshape(-1, _JOINED).sum(axis=1)
    used = np.flatnonzero(joined)[::-1]  # cosines rise
    weights = joined[used] / joined.sum()
    cosines = 1 - ((used + 0.5) * (2 * _JOINED / STEPS)) ** 2 / 2
    probabilities = np.zeros(len(joined))
    if len(used) < 10:
        return np.repeat(probabilities, _JOINED), 0.0
    rank = np.cumsum(weights)
    middle = float(cosines[np.searchsorted(rank, 0.5)])
    spread = max(middle - float(cosines[np.searchsorted(rank, 0.159)]), 1e-4)
    nearest = rank > 1 - 0.005
    same = (float(np.average(cosines[nearest], weights=weights[nearest])), spread / 2)
    share, different = 0.005, (0.0, middle, spread)
    for _ in range(_ROUNDS):
        odds = _log_density(cosines, 0.0, *same) - _log_density(cosines, *different)
        found = logistic(np.clip(odds + np.log(share) - np.log1p(-share), -60, 60))
        share = float(np.clip(found @ weights, 1e-5, 0.3))
        different, deviation = _fit_skew_normal(cosines, (1 - found) * weights)
        mean, own = _moments(cosines, found * weights + 1e-12)
        same = (mean, max(own, 0.3 * deviation))
    probabilities[used] = found
    return np.repeat(probabilities, _JOINED), share


def calibrate_unlabelled(
    pairs: UnlabelledPairs,
    *,
    reference: Calibration | None = None,
    false_accept_rate: float = 1e-2,
) -> tuple[Calibration, float]:
    """Makes a calibration of pairs whose people nobody knows.

    The false-accept rate at a distance is the share of pairs below it, each weighed by one less
    half its estimated probability of one person, and less all of it where that is nearly sure:
    1 - max(p / 2, p^16). To count every pair would make the threshold too strict, as of P people 1
    pair in P shows one person; to believe the estimate everywhere would make it too loose, as it
    takes some pairs of two people who look alike out of the count.

    How probable one person is, pairs of two people alone cannot tell. Where the model has a
    calibration of its own, the reference, its curve is taken over, moved and stretched so that the
    distances at which 1 % and half of the strangers are accepted fall on each other; else it is
    fitted to the mixture.

    Returns:
        The calibration, its false-reject rates NaN, as they are not known without labels; and the
        estimated share of pairs that show one person.
    """
    probabilities, share = estimate_same_person(pairs.counts)
    weights = pairs.counts * _strangers(probabilities)
    soft = PairCounts(
        same=np.rint(1000 * pairs.counts * probabilities).astype(np.int64) + (pairs.counts > 0),
        different=np.rint(1000 * weights).astype(np.int64),
        resolution=2 / STEPS,
        metric="euclidean",
        protocol="all pairs" if pairs.pairing == "any two images" else "cross-camera pairs",
        people=pairs.images,
        people_left_out=0,
    )
    fitted = fit_calibration(soft, false_accept_rate=false_accept_rate)
    slope, centre = fitted.slope, fitted.centre
    if reference is not None:
        own, here = (
            [each.threshold_at(rate) for rate in (0.01, 0.5)] for each in (reference, fitted)
        )
        stretch = (own[1] - own[0]) / max(here[1] - here[0], 2 / STEPS)
        slope = reference.slope * stretch
        centre = here[0] + (reference.centre - own[0]) / stretch
    return (
        replace(
            fitted,
            slope=slope,
            centre=centre,
            table=tuple((row[0], row[1], np.nan) for row in fitted.table),
            same_pairs=0,
            different_pairs=int(pairs.counts.sum()),
            people=0,
        ),
        share,
    )


def bootstrap_unlabelled(
    embeddings: NDArray[np.float32],
    cameras: NDArray[np.int64],
    tracklets: NDArray[np.int64],
    *,
    false_accept_rate: float = 1e-2,
    samples: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Gives the 95 % interval of the false-accept rate of a calibration, by drawing images.

    Each draw of images makes a threshold of its own; the interval is of what these accept of all
    images, its lower end where the estimate of pairs of one person is believed everywhere, its
    upper end where it is believed only when nearly sure. Images of one tracklet are drawn together.
    Images of one person should be, but nobody knows them: so only as many are drawn as two of each
    person would be, whose number is taken for the inverse of the estimated share of pairs that show
    one person. Images are given as to `count_unlabelled`; at most 1,000 are used.

    Returns:
        The interval, 0 to 1.
    """
    _, groups = _groups(cameras, tracklets)
    kept = _draw(np.flatnonzero(groups >= 0), seed, 1000)
    rows, groups = embeddings[kept], groups[kept]
    first, second = np.nonzero(groups[:, None] != groups)
    bins = _bins(np.concatenate([each.copy() for _, each in distance_blocks(rows, rows)]))
    bins = bins[first, second]
    whole = np.bincount(bins, minlength=STEPS)
    probabilities, share = estimate_same_person(whole)
    fewest, most = (
        np.cumsum(whole * (1 - trusted)) for trusted in (probabilities, probabilities**16)
    )
    alone = -2 - np.arange(len(kept))
    together = np.stack([cameras[kept], np.where(tracklets[kept] < 0, alone, tracklets[kept])])
    units = np.unique(together, axis=1, return_inverse=True)[1]
    count = int(units.max()) + 1
    size = int(min(count, max(10, 2 / max(share, 1e-6))))
    random = np.random.default_rng(seed)
    found = []
    for _ in range(samples):
        times = np.bincount(random.integers(0, count, size), minlength=count)[units]
        drawn = np.bincount(bins, times[first] * times[second], STEPS)
        if not drawn.any():
            continue
        trust = _strangers(estimate_same_person(drawn)[0])
        below = np.cumsum(drawn * trust)
        found.append(np.searchsorted(below, false_accept_rate * below[-1], side="right") - 1)
    low, high = np.quantile(found or [0, STEPS - 1], [0.025, 0.975]).astype(int)
    return float(fewest[low] / fewest[-1]), float(most[high] / most[-1])


def _groups(
    cameras: NDArray[np.int64], tracklets: NDArray[np.int64]
) -> tuple[Pairing, NDArray[np.int64]]:
    """Numbers images so that two of different numbers are a pair; below 0 are of none."""
    if len(np.unique(cameras[cameras >= 0])) > 1:
        return "two cameras", cameras
    if len(np.unique(tracklets[tracklets >= 0])) > 1:
        return "two tracklets", tracklets
    return "any two images", np.arange(len(cameras))


def _draw(rows: Indices, seed: int, largest: int = LARGEST) -> Indices:
    if len(rows) <= largest:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, largest, replace=False))


def _bins(distances: NDArray[np.float32]) -> NDArray[np.int64]:
    numbers = np.ceil(distances * (STEPS / 2)).astype(np.int64) - 1
    return np.asarray(np.clip(numbers, 0, STEPS - 1))


def _strangers(probabilities: Floats) -> Floats:
    return np.asarray(1 - np.maximum(probabilities / 2, probabilities**16))


def _log_density(values: Floats, shape: float, location: float, scale: float) -> Floats:
    """Returns the logarithm of a skew normal density, up to a constant."""
    from scipy.special import log_ndtr  # reading a profile does without SciPy

    scaled = (values - location) / scale
    return np.asarray(log_ndtr(shape * scaled) - scaled**2 / 2 - np.log(scale))


def _moments(values: Floats, weights: Floats) -> tuple[float, float]:
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _fit_skew_normal(values: Floats, weights: Floats) -> tuple[tuple[float, float, float], float]:
    """Returns shape, location and scale by the method of moments, and the standard deviation."""
    mean, deviation = _moments(values, weights)
    skewness = float(np.average(((values - mean) / deviation) ** 3, weights=weights))
    size = min(abs(skewness), 0.9) ** (2 / 3)  # above 0.995 there is none
    delta = np.sign(skewness) * np.sqrt(np.pi / 2 * size / (size + ((4 - np.pi) / 2) ** (2 / 3)))
    scale = deviation / np.sqrt(1 - 2 * delta**2 / np.pi)
    location = mean - scale * delta * np.sqrt(2 / np.pi)
    return (float(delta / np.sqrt(1 - delta**2)), float(location), float(scale)), deviation
