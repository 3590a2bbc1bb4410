"""From a distance to a verdict: the logistic curve, its five words, their rates and reliability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from siamese.errors import InputError
from siamese.metrics.blocks import Floats, Metric
from siamese.metrics.pairs import PairCounts, PairProtocol
from siamese.metrics.verification import (
    check_rate,
    error_curves,
    operating_point,
    rows_of_interest,
)

Verdict: TypeAlias = Literal["same", "probably same", "unsure", "probably different", "different"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
VERDICT_BOUNDS = (0.95, 0.6, 0.4, 0.05)
"""The lowest probability of one person of each word but the last."""
LEANINGS: dict[str | None, bool | None] = {
    **dict(zip(VERDICTS, (True, True, None, False, False), strict=True)),
    None: None,
}
"""To which side a word leans: one person, two people, or neither."""

_BINS = 10
_RETIRED = ("same_below", "different_above")
"""Fields of older files: the bounds of a verdict that did not go by the probability."""
_INTERVALS = ("false_accept_interval", "false_reject_interval")


@dataclass(frozen=True)
class Calibration:
    """The reading of a distance, with the error rates measured on people that training never saw.

    Attributes:
        metric: The metric of the distances: "euclidean".
        slope: Of the logistic curve, >= 0; 0 where distance says nothing.
        centre: The distance at which both answers are equally likely.
        threshold: Up to here, two images are taken for the same person, at `false_accept_rate`.
        false_accept_rate: What `threshold` was chosen for, 0..1.
        table: Rows of threshold, false-accept rate and false-reject rate; thresholds rise. The
            last is NaN where no labels were known (`siamese.metrics.unlabelled`).
        same_pairs: Number of pairs of one person that were measured; 0 where no labels were known.
        different_pairs: Number of pairs of two people.
        people: Number of people they come from.
        protocol: "cross-camera pairs" or "all pairs".
        false_accept_interval: 95 % interval of the false-accept rate at `threshold`, as
            `siamese.metrics.bootstrap.bootstrap_error_rates` gives it; None: not computed.
        false_reject_interval: Of the false-reject rate.

    Raises:
        InputError: The metric is another one.
    """

    metric: Metric
    slope: float
    centre: float
    threshold: float
    false_accept_rate: float
    table: tuple[tuple[float, float, float], ...] = field(repr=False)
    same_pairs: int
    different_pairs: int
    people: int
    protocol: PairProtocol
    false_accept_interval: tuple[float, float] | None = None
    false_reject_interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.metric != "euclidean":
            raise InputError(
                "A calibration must be of Euclidean distances, which is what a model measures. "
                f"Received: metric={self.metric!r}. Count the pairs again without `metric`."
            )

    def probability(self, distances: ArrayLike, prior: float = 0.5) -> Floats:
        """Gives the chance that two images show one person.

        Args:
            distances: Of any shape, >= 0.
            prior: The chance before the images were seen, above 0 and below 1.

        Returns:
            `1 / (1 + exp(slope (distance - centre) - log(prior / (1 - prior))))`, the same shape,
            0..1, never rising with distance: the curve of even odds (Platt, "Probabilistic outputs
            for support vector machines", 1999), its odds multiplied by those of the prior (Bayes).

        Raises:
            InputError: The prior is not between 0 and 1.
        """
        nearness = self.slope * (self.centre - np.asarray(distances, np.float64))
        return logistic(nearness + _log_odds(prior))

    def verdict(self, distance: float, prior: float = 0.5) -> Verdict:
        """Says in a word how probable it is that two images at a distance show one person.

        Returns:
            The first of `VERDICTS` whose lowest probability, of `VERDICT_BOUNDS`, is reached; the
            prior is that of `probability`.
        """
        return VERDICTS[sum(distance > bound for bound in self.bounds(prior))]

    def same(self, distance: float) -> bool:
        """Says if images at a distance are taken for one person, at `false_accept_rate`."""
        return distance <= self.threshold

    def bounds(self, prior: float = 0.5) -> tuple[float, ...]:
        """Tells up to which distance each word but the last is said, given the prior.

        Returns:
            Four distances, rising; below 0 where a word is never said. Where distance says nothing
            each is infinite, so that the prior alone decides.
        """
        excess = [_log_odds(prior) - _log_odds(lowest) for lowest in VERDICT_BOUNDS]
        if self.slope == 0:
            return tuple(np.inf if each >= 0 else -np.inf for each in excess)
        return tuple(self.centre + each / self.slope for each in excess)

    def word_rates(self, prior: float = 0.5) -> dict[Verdict, tuple[float, float]]:
        """Tells how often each word was said of the measured pairs, given the prior.

        Returns:
            For each word the share of the pairs of one person and of the pairs of two people that
            got it, 0..1; both sum to 1 over the words. The former NaN where it is not known.
        """
        return share_words([self.error_rates(bound) for bound in self.bounds(prior)])

    def error_rates(self, threshold: float) -> tuple[float, float]:
        """Tells the error rates of another threshold, between the rows of the table linearly.

        Returns:
            False-accept rate and false-reject rate, 0..1; the latter NaN where it is not known.
        """
        thresholds, accepts, rejects = np.array(self.table).T
        return (
            float(np.interp(threshold, thresholds, accepts)),
            float(np.interp(threshold, thresholds, rejects)),
        )

    def threshold_at(self, false_accept_rate: float) -> float:
        """Finds the largest threshold of the table whose false-accept rate, 0..1, is no higher."""
        check_rate(false_accept_rate)
        return max(row[0] for row in self.table if row[1] <= false_accept_rate)

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON, NaN as None; `from_dict` reads them."""
        table = [[None if np.isnan(value) else value for value in row] for row in self.table]
        return {**vars(self), "table": table}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Reads what `to_dict` wrote; fields of older files may be among the values.

        Raises:
            InputError: A field is missing or unknown, or the table is not rows of three numbers.
        """
        values = {name: value for name, value in values.items() if name not in _RETIRED}
        if odd := sorted((set(values) ^ set(cls.__dataclass_fields__)) - set(_INTERVALS)):
            raise InputError(
                f"A calibration must have exactly its fields. Missing or unknown: "
                f"{', '.join(odd)}. Calibrate the model again with this version."
            )
        table = np.array(values["table"], np.float64)  # None becomes NaN
        if table.ndim != 2 or table.shape[1] != 3:
            raise InputError(
                "The table of a calibration must be rows of threshold, false-accept rate and "
                f"false-reject rate. Received: shape {table.shape}. Calibrate the model again."
            )
        intervals = {name: tuple(values[name]) for name in _INTERVALS if values.get(name)}
        return cls(**{**values, **intervals, "table": _rows(table)})


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: predicted probabilities and what came true.

    Attributes:
        predicted: `(bins,)`, mean predicted probability in each bin that is not empty.
        observed: `(bins,)`, share of pairs of one person in it.
        share: `(bins,)`, share of all pairs in it; the sum is 1.
        expected_calibration_error: Mean of `|predicted - observed|` by share, 0..1.
    """

    predicted: Floats
    observed: Floats
    share: Floats
    expected_calibration_error: float


def fit_calibration(pairs: PairCounts, *, false_accept_rate: float = 1e-2) -> Calibration:
    """Fits the logistic curve and sets the threshold for a false-accept rate.

    The pairs must be of people that training never saw. Those of one person and of two people weigh
    the same (prior 50 : 50). The fit aims at `(n + 1) / (n + 2)` and `1 / (n + 2)` instead of 1 and
    0, Platt's own guard against certainty, where `n` is the number of *people*, as pairs that share
    a person are not independent: 30 people who are told apart without an error do not prove a
    chance of one in a million.

    Raises:
        InputError: The rate is not between 0 and 1, or the distances are not Euclidean.

    Example:
        >>> from siamese.metrics.pairs import count_pairs
        >>> pairs = count_pairs([[0.0], [1.0], [3.0]], ["a", "a", "b"], [1, 2, 3])
        >>> calibration = fit_calibration(pairs)
        >>> calibration.verdict(0.5), calibration.verdict(2.5)
        ('probably same', 'probably different')
    """
    check_rate(false_accept_rate)
    thresholds, accepts, rejects = error_curves(pairs)
    slope, centre = _fit(pairs)
    chosen = rows_of_interest(accepts, rejects)
    table = np.stack([thresholds[chosen], accepts[chosen], rejects[chosen]], axis=1)
    return Calibration(
        metric=pairs.metric,
        slope=slope,
        centre=centre,
        threshold=operating_point(pairs, false_accept_rate).threshold,
        false_accept_rate=false_accept_rate,
        table=_rows(table),
        same_pairs=int(pairs.same.sum()),
        different_pairs=int(pairs.different.sum()),
        people=pairs.people,
        protocol=pairs.protocol,
    )


def known_rate(rate: float) -> float | None:
    """Gives None in place of NaN: what is not known without labels."""
    return None if np.isnan(rate) else rate


def measure_reliability(calibration: Calibration, pairs: PairCounts) -> Reliability:
    """Compares predicted probabilities with what came true, at a prior of 50 : 50.

    The pairs are best of people that the calibration did not see.

    Returns:
        The diagram, in ten bins of equal width on the probability (Guo et al., "On calibration of
        modern neural networks", 2017, equation 3).

    Raises:
        InputError: The metrics of the calibration and of the pairs differ.
    """
    if calibration.metric != pairs.metric:
        raise InputError(
            f"The pairs must be measured by the calibration's metric, {calibration.metric!r}. "
            f"Received: {pairs.metric!r}. Count them again."
        )
    distances, same, different = pairs.weights()
    predicted = calibration.probability(distances)
    place = np.minimum((predicted * _BINS).astype(np.int64), _BINS - 1)
    share: Floats = np.bincount(place, same + different, _BINS).astype(np.float64)
    used = share > 0
    mean = np.bincount(place, (same + different) * predicted, _BINS)[used] / share[used]
    observed = np.bincount(place, same, _BINS)[used] / share[used]
    error = float((np.abs(mean - observed) * share[used]).sum())
    return Reliability(mean, observed, share[used], error)


def share_words(rates: Sequence[tuple[float, float]]) -> dict[Verdict, tuple[float, float]]:
    """Gives each word its share of the pairs, as `Calibration.word_rates`.

    Args:
        rates: False-accept and false-reject rate at each of the four `Calibration.bounds`.

    Example:
        >>> shares = share_words([(0, 0.5), (0, 0.25), (0.5, 0), (1, 0)])
        >>> shares["same"], shares["unsure"], shares["different"]
        ((0.5, 0.0), (0.25, 0.5), (0.0, 0.0))
    """
    nearer = [(0.0, 0.0), *((1 - rejects, accepts) for accepts, rejects in rates), (1.0, 1.0)]
    return {
        word: (float(to[0] - since[0]), float(to[1] - since[1]))
        for word, (since, to) in zip(VERDICTS, pairwise(nearer), strict=True)
    }


def _log_odds(prior: float) -> float:
    if not 0 < prior < 1:
        raise InputError(
            "`prior` must be above 0 and below 1: the chance of one person before the images were "
            f"seen. Received: prior={prior}. Give 0.5 for even odds."
        )
    return float(np.log(prior) - np.log1p(-prior))


def logistic(logits: ArrayLike) -> Floats:
    """Computes `1 / (1 + exp(-x))` without overflow, exact to the last digits far below 0 too.

    Example:
        >>> logistic([-1000.0, 0.0, 1000.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    return np.asarray(np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64))), np.float64)


def _fit(pairs: PairCounts) -> tuple[float, float]:
    from scipy.optimize import minimize  # reading a calibration does without SciPy

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
        excess = total * logistic(logits) - aim
        return loss, np.array([-excess @ scaled, excess.sum()])

    best = minimize(cross_entropy, [1.0, 0.0], jac=True, method="L-BFGS-B").x
    slope = float(best[0] / spread)
    if slope * spread < 1e-6:
        # Worse than chance: a curve that rises with distance would be fitted to noise.
        return 0.0, middle
    return slope, middle + float(best[1]) / slope


def _rows(table: Floats) -> tuple[tuple[float, float, float], ...]:
    return tuple((row[0], row[1], row[2]) for row in table.tolist())
