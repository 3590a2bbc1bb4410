"""Same person or not: ROC, equal error rate, and the calibration from a distance to a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from siamese.errors import InputError
from siamese.metrics.blocks import Floats, Metric
from siamese.metrics.pairs import PairCounts, PairProtocol

Verdict: TypeAlias = Literal["same", "unsure", "different"]

FALSE_ACCEPT_RATES = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1)
TAR_RATES = (1e-2, 1e-3, 1e-4)
SAME_FALSE_ACCEPT_RATE = 1e-3
DIFFERENT_FALSE_REJECT_RATE = 1e-2


@dataclass(frozen=True)
class OperatingPoint:
    """What one threshold does: distances up to it are accepted as the same person.

    Attributes:
        threshold: A distance.
        false_accept_rate: Share of pairs of two people that are accepted, 0..1.
        false_reject_rate: Share of pairs of one person that are not, 0..1.
    """

    threshold: float
    false_accept_rate: float
    false_reject_rate: float


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
        table: The operating point for each chosen false-accept rate; the measured rate may be
            lower.
        same_pairs: How many pairs of one person.
        different_pairs: How many pairs of two people.
        people: How many people they come from.
        people_left_out: How many were left out of a large set.
        protocol: "cross-camera pairs" or "all pairs".
        resolution: The step in which distances were counted.
        roc: `(points, 2)`, false-accept and true-accept rate, rising from (0, 0) to (1, 1).
    """

    auc: float
    eer: float
    eer_threshold: float
    tar_at_far: dict[float, float]
    table: tuple[OperatingPoint, ...]
    same_pairs: int
    different_pairs: int
    people: int
    people_left_out: int
    protocol: PairProtocol
    resolution: float
    roc: Floats = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Gives the scores as plain values for JSON, without the ROC curve."""
        values = {name: value for name, value in vars(self).items() if name != "roc"}
        values["tar_at_far"] = {f"{rate:g}": tar for rate, tar in self.tar_at_far.items()}
        values["table"] = [asdict(point) for point in self.table]
        return values


_INTERVALS = ("false_accept_interval", "false_reject_interval")


@dataclass(frozen=True)
class Calibration:
    """How to read a distance, with the error rates measured on people that training never saw.

    Attributes:
        metric: The metric of the distances, "euclidean" or "cosine".
        slope: Of the logistic curve, >= 0; 0 where distance says nothing.
        centre: The distance at which both answers are equally likely.
        threshold: Up to here, two images are taken for the same person, at `false_accept_rate`.
        same_below: Up to here the verdict is "same"; false-accept rate 1e-3.
        different_above: Beyond this it is "different"; false-reject rate 1e-2 or lower, as it is
            never below `threshold`. Where a model is so good that the two bounds cross, nobody
            need be unsure: both equal `threshold`.
        false_accept_rate: What `threshold` was chosen for, 0..1.
        table: Rows of threshold, false-accept rate and false-reject rate; thresholds rise.
        same_pairs: How many pairs of one person were measured.
        different_pairs: How many pairs of two people.
        people: How many people they come from.
        protocol: "cross-camera pairs" or "all pairs".
        false_accept_interval: 95 % interval of the false-accept rate at `threshold`, as
            `siamese.metrics.bootstrap.bootstrap_error_rates` gives it; None where nobody asked.
        false_reject_interval: Of the false-reject rate.
    """

    metric: Metric
    slope: float
    centre: float
    threshold: float
    same_below: float
    different_above: float
    false_accept_rate: float
    table: tuple[tuple[float, float, float], ...] = field(repr=False)
    same_pairs: int
    different_pairs: int
    people: int
    protocol: PairProtocol
    false_accept_interval: tuple[float, float] | None = None
    false_reject_interval: tuple[float, float] | None = None

    def probability(self, distances: ArrayLike) -> Floats:
        """Gives the chance that two images show one person, were both answers as likely beforehand.

        Args:
            distances: Of any shape, >= 0.

        Returns:
            `1 / (1 + exp(slope (distance - centre)))`, the same shape, 0..1, never rising with
            distance (Platt, "Probabilistic outputs for support vector machines", 1999).
        """
        return np.asarray(
            expit(self.slope * (self.centre - np.asarray(distances, np.float64))), np.float64
        )

    def verdict(self, distance: float) -> Verdict:
        """Says "same", "unsure" or "different".

        Args:
            distance: Of the two images, by `metric`.

        Returns:
            The verdict.
        """
        if distance <= self.same_below:
            return "same"
        return "different" if distance > self.different_above else "unsure"

    def error_rates(self, threshold: float) -> tuple[float, float]:
        """Tells the error rates of another threshold, between the rows of the table linearly.

        Args:
            threshold: A distance.

        Returns:
            False-accept rate and false-reject rate, 0..1.
        """
        thresholds, accepts, rejects = np.array(self.table).T
        return (
            float(np.interp(threshold, thresholds, accepts)),
            float(np.interp(threshold, thresholds, rejects)),
        )

    def threshold_at(self, false_accept_rate: float) -> float:
        """Finds the largest threshold of the table whose false-accept rate is no higher.

        Args:
            false_accept_rate: 0..1.

        Returns:
            A distance.
        """
        _check_rate(false_accept_rate)
        return max(row[0] for row in self.table if row[1] <= false_accept_rate)

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON; `from_dict` reads them."""
        return {**vars(self), "table": [list(row) for row in self.table]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Reads what `to_dict` wrote.

        Args:
            values: All fields by name.

        Returns:
            The calibration.

        Raises:
            InputError: A field is missing or unknown, or the table is not rows of three numbers.
        """
        if odd := sorted((set(values) ^ set(cls.__dataclass_fields__)) - set(_INTERVALS)):
            raise InputError(
                f"A calibration must have exactly its fields. Missing or unknown: "
                f"{', '.join(odd)}. Calibrate the model again with this version."
            )
        table = np.array(values["table"], np.float64)
        if table.ndim != 2 or table.shape[1] != 3:
            raise InputError(
                "The table of a calibration must be rows of threshold, false-accept rate and "
                f"false-reject rate. Received: shape {table.shape}. Calibrate the model again."
            )
        intervals = {name: tuple(values[name]) for name in _INTERVALS if values.get(name)}
        return cls(**{**values, **intervals, "table": _rows(table)})


def score_verification(
    pairs: PairCounts, *, false_accept_rates: Sequence[float] = FALSE_ACCEPT_RATES
) -> VerificationScores:
    """Scores how well a threshold on the distance tells one person from two.

    Args:
        pairs: Counted distances, from `count_pairs`. Distances within a bin count as tied, so the
            area is off by at most half the share of pairs of two people in the fullest bin.
        false_accept_rates: The rows of `table`, each above 0 and below 1.

    Returns:
        The scores.

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
        _check_rate(rate)
    thresholds, accepts, rejects = _curves(pairs)
    eer, eer_threshold = equal_error_rate(thresholds, accepts, rejects)
    chosen = _rows_of_interest(accepts, rejects)
    return VerificationScores(
        auc=float(np.trapezoid(1 - rejects, accepts)),
        eer=eer,
        eer_threshold=eer_threshold,
        tar_at_far={rate: 1 - _point(pairs, rate).false_reject_rate for rate in TAR_RATES},
        table=tuple(_point(pairs, rate) for rate in false_accept_rates),
        same_pairs=int(pairs.same.sum()),
        different_pairs=int(pairs.different.sum()),
        people=pairs.people,
        people_left_out=pairs.people_left_out,
        protocol=pairs.protocol,
        resolution=pairs.resolution,
        roc=np.stack([accepts[chosen], 1 - rejects[chosen]], axis=1),
    )


def error_rates_at(pairs: PairCounts, threshold: float) -> OperatingPoint:
    """Measures the error rates of a threshold that was set elsewhere, on other people.

    Args:
        pairs: Counted distances.
        threshold: A distance, by the metric of the pairs.

    Returns:
        The threshold and its rates, read at the nearest edge of a bin.

    Example:
        >>> from siamese.metrics.pairs import count_pairs
        >>> pairs = count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])
        >>> error_rates_at(pairs, 2.5)
        OperatingPoint(threshold=2.5, false_accept_rate=0.5, false_reject_rate=0.0)
    """
    _, accepts, rejects = _curves(pairs)
    edge = min(max(round(threshold / pairs.resolution), 0), len(pairs.same))
    return OperatingPoint(threshold, float(accepts[edge]), float(rejects[edge]))


def equal_error_rate(thresholds: Floats, accepts: Floats, rejects: Floats) -> tuple[float, float]:
    """Finds where two error curves cross, linearly between their points.

    Args:
        thresholds: `(points,)`, rising.
        accepts: `(points,)`, false-accept rates, rising from 0 to 1.
        rejects: `(points,)`, false-reject rates, falling from 1 to 0.

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


def calibrate(pairs: PairCounts, *, false_accept_rate: float = 1e-2) -> Calibration:
    """Fits the logistic curve and sets the thresholds.

    Pairs of one person and of two people weigh the same (prior 50 : 50). The fit aims at
    `(n + 1) / (n + 2)` and `1 / (n + 2)` instead of 1 and 0, Platt's own guard against certainty,
    where `n` is the number of *people*, as pairs that share a person are not independent: 30 people
    who are told apart without an error do not prove a chance of one in a million.

    Args:
        pairs: Counted distances of people that training never saw.
        false_accept_rate: What `threshold` is set for, above 0 and below 1.

    Returns:
        The calibration.

    Raises:
        InputError: The rate is not between 0 and 1.

    Example:
        >>> from siamese.metrics.pairs import count_pairs
        >>> pairs = count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])
        >>> calibration = calibrate(pairs)
        >>> calibration.verdict(0.5), calibration.verdict(2.5)
        ('same', 'different')
    """
    _check_rate(false_accept_rate)
    thresholds, accepts, rejects = _curves(pairs)
    threshold = _point(pairs, false_accept_rate).threshold
    same_below = min(threshold, _point(pairs, SAME_FALSE_ACCEPT_RATE).threshold)
    different_above = float(thresholds[np.argmax(rejects <= DIFFERENT_FALSE_REJECT_RATE)])
    if different_above <= same_below:
        same_below = different_above = threshold
    slope, centre = _fit(pairs)
    chosen = _rows_of_interest(accepts, rejects)
    table = np.stack([thresholds[chosen], accepts[chosen], rejects[chosen]], axis=1)
    return Calibration(
        metric=pairs.metric,
        slope=slope,
        centre=centre,
        threshold=threshold,
        same_below=same_below,
        different_above=max(different_above, threshold),
        false_accept_rate=false_accept_rate,
        table=_rows(table),
        same_pairs=int(pairs.same.sum()),
        different_pairs=int(pairs.different.sum()),
        people=pairs.people,
        protocol=pairs.protocol,
    )


def _curves(pairs: PairCounts) -> tuple[Floats, Floats, Floats]:
    """Thresholds from 0 at the bins' upper edges, with the error rates of accepting up to each."""
    thresholds = np.arange(len(pairs.same) + 1, dtype=np.float64) * pairs.resolution
    accepts = np.concatenate([[0.0], np.cumsum(pairs.different) / pairs.different.sum()])
    total = pairs.same.sum()
    rejects = np.concatenate([[1.0], (total - np.cumsum(pairs.same)) / total])
    return thresholds, accepts, rejects


def _point(pairs: PairCounts, false_accept_rate: float) -> OperatingPoint:
    thresholds, accepts, rejects = _curves(pairs)
    last = int(np.searchsorted(accepts, false_accept_rate, side="right")) - 1
    # Nothing lies between two bins that hold pairs, so the middle is the threshold that new pairs
    # are least likely to fall on the wrong side of.
    return OperatingPoint(float(thresholds[last]), float(accepts[last]), float(rejects[last]))


def _rows_of_interest(accepts: Floats, rejects: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Some 500 places that describe both curves well, from the first to the last."""
    levels = np.concatenate([np.logspace(-5, 0, 101), np.linspace(0, 1, 101)])
    by_accepts = np.searchsorted(accepts, levels, side="right") - 1
    by_rejects = np.searchsorted(-rejects, -levels, side="left")
    ends = [0, len(accepts) - 1]
    return np.unique(np.concatenate([by_accepts, by_rejects, ends])).astype(np.int64)


def _fit(pairs: PairCounts) -> tuple[float, float]:
    distances, same, different = pairs.weights()
    middle = float(distances @ (same + different))
    spread = float(np.sqrt((distances - middle) ** 2 @ (same + different)))
    if spread == 0:
        return 0.0, middle
    scaled = (distances - middle) / spread
    high = (pairs.people + 1) / (pairs.people + 2)
    aim = same * high + different * (1 - high)
    total = same + different

    def cross_entropy(values: Floats) -> tuple[float, Floats]:
        logits = values[1] - values[0] * scaled
        loss = float(total @ np.logaddexp(0, logits) - aim @ logits)
        excess = total * expit(logits) - aim
        return loss, np.array([-excess @ scaled, excess.sum()])

    best = minimize(cross_entropy, [1.0, 0.0], jac=True, method="L-BFGS-B").x
    slope = float(best[0] / spread)
    if slope * spread < 1e-6:
        # Worse than chance: a curve that rises with distance would be fitted to noise.
        return 0.0, middle
    return slope, middle + float(best[1]) / slope


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise InputError(
            f"`false_accept_rate` must be above 0 and below 1. Received: false_accept_rate={rate}."
        )


def _rows(table: Floats) -> tuple[tuple[float, float, float], ...]:
    return tuple((row[0], row[1], row[2]) for row in table.tolist())
