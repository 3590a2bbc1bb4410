"""Same person or not: ROC, equal error rate, and the error rates of a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from siamese.errors import InputError
from siamese.metrics.blocks import Floats, Indices
from siamese.metrics.pairs import PairCounts, PairProtocol

FALSE_ACCEPT_RATES = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1)
TAR_RATES = (1e-2, 1e-3, 1e-4)


class OperatingPoint(NamedTuple):
    """The error rates of a threshold: distances up to it are accepted as the same person.

    Attributes:
        threshold: A distance.
        false_accept_rate: Share of pairs of two people that are accepted, 0..1.
        false_reject_rate: Share of pairs of one person that are not, 0..1.
    """

    threshold: float
    false_accept_rate: float
    false_reject_rate: float

    @property
    def rates(self) -> tuple[float, float]:
        """False-accept rate and false-reject rate."""
        return self.false_accept_rate, self.false_reject_rate


@dataclass(frozen=True)
class ChosenThreshold:
    """The `OperatingPoint` for a chosen false-accept rate; the measured rate may be lower."""

    chosen_rate: float
    threshold: float
    false_accept_rate: float
    false_reject_rate: float


@dataclass(frozen=True)
class VerifiedPairs:
    """The numbers of the pairs that verification scores were counted from.

    Fields are those of `PairCounts`; `same_pairs` and `different_pairs` are sums.
    """

    protocol: PairProtocol
    same_pairs: int
    different_pairs: int
    people: int
    people_left_out: int


@dataclass(frozen=True)
class VerificationScores:
    """The verification scores of a set, with the pairs they were made from.

    Attributes:
        auc: Area under the ROC curve: the chance that a pair of one person is nearer than a pair of
            two, 0..1.
        eer: Equal error rate, 0..1: where false accepts and false rejects are equally frequent.
        eer_threshold: The distance at which they are.
        tar_at_far: True-accept rate at the false-accept rates 1e-2, 1e-3 and 1e-4, 0..1. Of fewer
            than `1 / rate` pairs of two people, it is the rate without any false accept.
        table: The operating point for each chosen false-accept rate.
        pairs: The pairs.
        roc: `(points, 2)`, false-accept and true-accept rate, rising from (0, 0) to (1, 1).
    """

    auc: float
    eer: float
    eer_threshold: float
    tar_at_far: dict[float, float]
    table: tuple[ChosenThreshold, ...]
    pairs: VerifiedPairs
    roc: Floats = field(repr=False)


def score_verification(
    pairs: PairCounts, *, false_accept_rates: Sequence[float] = FALSE_ACCEPT_RATES
) -> VerificationScores:
    """Scores how well a threshold on the distance tells one person from two.

    Distances within a bin count as tied, so the area is off by at most half the share of pairs of
    two people in the fullest bin. The false-accept rates are the rows of `table`.

    Raises:
        InputError: A rate is not between 0 and 1.

    Example:
        >>> from siamese.metrics.pairs import count_pairs
        >>> pairs = count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])
        >>> scores = score_verification(pairs)
        >>> scores.auc, scores.eer, scores.tar_at_far[1e-2]
        (1.0, 0.0, 1.0)
    """
    for rate in false_accept_rates:
        check_rate(rate)
    thresholds, accepts, rejects = error_curves(pairs)
    eer, eer_threshold = equal_error_rate(thresholds, accepts, rejects)
    chosen = rows_of_interest(accepts, rejects)
    return VerificationScores(
        auc=float(np.trapezoid(1 - rejects, accepts)),
        eer=eer,
        eer_threshold=eer_threshold,
        tar_at_far={rate: 1 - operating_point(pairs, rate).false_reject_rate for rate in TAR_RATES},
        table=tuple(
            ChosenThreshold(rate, *operating_point(pairs, rate)) for rate in false_accept_rates
        ),
        pairs=VerifiedPairs(
            pairs.protocol,
            int(pairs.same.sum()),
            int(pairs.different.sum()),
            pairs.people,
            pairs.people_left_out,
        ),
        roc=np.stack([accepts[chosen], 1 - rejects[chosen]], axis=1),
    )


def error_rates_at(pairs: PairCounts, threshold: float) -> OperatingPoint:
    """Measures the error rates of a threshold that was set elsewhere, on other people.

    Returns:
        The threshold, a distance, and its rates, read at the nearest edge of a bin.

    Example:
        >>> from siamese.metrics.pairs import count_pairs
        >>> pairs = count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])
        >>> error_rates_at(pairs, 2.5)
        OperatingPoint(threshold=2.5, false_accept_rate=0.5, false_reject_rate=0.0)
    """
    _, accepts, rejects = error_curves(pairs)
    edge = round(min(max(threshold / pairs.resolution, 0), len(pairs.same)))
    return OperatingPoint(threshold, float(accepts[edge]), float(rejects[edge]))


def equal_error_rate(thresholds: Floats, accepts: Floats, rejects: Floats) -> tuple[float, float]:
    """Finds where two error curves cross, linearly between their points.

    All are `(points,)`; thresholds and false-accept rates rise, false-reject rates fall.

    Returns:
        The rate and the threshold.

    Example:
        >>> equal_error_rate(*np.array([[0.0, 1.0, 2.0], [0.0, 0.25, 1.0], [1.0, 0.5, 0.25]]))
        (0.4375, 1.25)
    """
    after = int(np.argmax(accepts >= rejects))
    gaps = rejects[after - 1] - accepts[after - 1], accepts[after] - rejects[after]
    part = gaps[0] / (gaps[0] + gaps[1])
    rate, threshold = (
        float(curve[after - 1] + part * (curve[after] - curve[after - 1]))
        for curve in (accepts, thresholds)
    )
    return rate, threshold


@lru_cache(maxsize=1)  # every score of a set reads them
def error_curves(pairs: PairCounts) -> tuple[Floats, Floats, Floats]:
    """Returns thresholds from 0 at the upper edges of the bins, and the error rates of each."""
    thresholds = np.arange(len(pairs.same) + 1, dtype=np.float64) * pairs.resolution
    accepts = np.concatenate([[0.0], np.cumsum(pairs.different) / pairs.different.sum()])
    total = pairs.same.sum()
    rejects = np.concatenate([[1.0], (total - np.cumsum(pairs.same)) / total])
    return thresholds, accepts, rejects


def operating_point(pairs: PairCounts, false_accept_rate: float) -> OperatingPoint:
    """Finds the largest threshold whose false-accept rate is no higher than the given one."""
    thresholds, accepts, rejects = error_curves(pairs)
    last = int(np.searchsorted(accepts, false_accept_rate, side="right")) - 1
    return OperatingPoint(float(thresholds[last]), float(accepts[last]), float(rejects[last]))


def rows_of_interest(accepts: Floats, rejects: Floats) -> Indices:
    """Finds some 500 places that describe both curves well, from the first to the last."""
    levels = np.concatenate([np.logspace(-5, 0, 101), np.linspace(0, 1, 101)])
    by_accepts = np.searchsorted(accepts, levels, side="right") - 1
    by_rejects = np.searchsorted(-rejects, -levels, side="left")
    ends = [0, len(accepts) - 1]
    return np.unique(np.concatenate([by_accepts, by_rejects, ends])).astype(np.int64)


def check_rate(rate: float) -> None:
    """Raises an `InputError` where a false-accept rate is not between 0 and 1."""
    if not 0 < rate < 1:
        raise InputError(
            f"`false_accept_rate` must be above 0 and below 1. Received: false_accept_rate={rate}."
        )
