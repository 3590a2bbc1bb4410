"""The spread of a score: bootstrap over people, and the comparison of two models on one set.

Queries of one person rise and fall together, so people are drawn, with all their queries; drawing
queries would give intervals that are too narrow.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError
from siamese.metrics.blocks import Floats, Indices
from siamese.metrics.calibration import Calibration, fit_calibration
from siamese.metrics.pairs import PairCounts, PairSample
from siamese.metrics.ranking import RankingScores
from siamese.metrics.verification import TAR_RATES, equal_error_rate

_ACCEPTED = 10  # pairs of two people below a threshold, from which on its place is known at all


class Interval(NamedTuple):
    """The middle 95 % of what other draws of people would have scored.

    Attributes:
        low: The 2.5 % quantile.
        high: The 97.5 % quantile.
    """

    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """The difference between two models on the same queries and gallery.

    Attributes:
        difference: First minus second.
        interval: Of the difference; a difference is beyond chance where 0 is outside.
        p_value: Two-sided: twice the share of draws on the other side of 0, at most 1.
    """

    difference: float
    interval: Interval
    p_value: float


def bootstrap_ranking(
    scores: RankingScores, *, samples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Gives 95 % intervals of all ranking scores, by drawing people with replacement.

    Returns:
        Intervals by the name of the score; 0 to 1 where only one person was scored, as one person
        says nothing of others.

    Raises:
        InputError: `samples`, the number of draws, is below 1.
    """
    table = _per_query(scores)
    people = scores.per_query.people[scores.per_query.scored]
    draws = _draws(np.stack(list(table.values()), axis=1), people, samples, seed)
    return {name: _interval(draws[:, place]) for place, name in enumerate(table)}


def bootstrap_verification(
    sample: PairSample, *, samples: int = 300, seed: int = 0
) -> dict[str, Interval]:
    """Gives 95 % intervals of AUC, EER and true-accept rates, by drawing people with replacement.

    A person drawn `n` times weighs pairs with itself `n` fold, and two people drawn `m` and `n`
    times weigh the pairs between them `m n` fold.

    Returns:
        Intervals of `auc`, `eer` and `tar_at_far_0.01`, `tar_at_far_0.001`, `tar_at_far_0.0001`; 0
        to 1 where there are too few people to draw from, or fewer than 10 accepted pairs of two.

    Raises:
        InputError: `samples`, the number of draws, is below 1.
    """
    order = np.argsort(sample.distances, kind="stable")
    steps, starts = np.unique(sample.distances[order], return_index=True)
    thresholds = np.concatenate([[0.0], steps.astype(np.float64)])
    draws = []
    for weights in _weigh_pairs(sample, samples, seed):
        tar, far_rate = (
            np.concatenate([[0.0], np.cumsum(np.add.reduceat(kind[order], starts)) / kind.sum()])
            for kind in weights
        )
        eer, _ = equal_error_rate(thresholds, far_rate, 1 - tar)
        accepted = tar[np.searchsorted(far_rate, TAR_RATES, side="right") - 1]
        draws.append((float(np.trapezoid(tar, far_rate)), eer, *accepted.tolist()))
    names = ["auc", "eer", *(f"tar_at_far_{rate:g}" for rate in TAR_RATES)]
    found = np.array(draws).reshape(-1, len(names))
    if not len(found):
        found = np.full((1, len(names)), np.nan)
    different = (sample.first_person != sample.second_person).sum()
    rare = np.array(TAR_RATES) * different < _ACCEPTED
    found[:, 2:][:, rare] = np.nan
    return {name: _interval(column) for name, column in zip(names, found.T, strict=True)}


def bootstrap_error_rates(
    sample: PairSample, threshold: float, *, samples: int = 300, seed: int = 0
) -> tuple[Interval, Interval]:
    """Gives 95 % intervals of the error rates of one threshold, by drawing people.

    Returns:
        The intervals of the false-accept rate and of the false-reject rate, drawn as in
        `bootstrap_verification`; 0 to 1 where there are too few people to draw from.

    Raises:
        InputError: `samples` is below 1.
    """
    accepted = sample.distances <= threshold
    draws = [
        (far[accepted].sum() / far.sum(), near[~accepted].sum() / near.sum())
        for near, far in _weigh_pairs(sample, samples, seed)
    ]
    accepts, rejects = np.array(draws or [(np.nan, np.nan)]).T
    return _interval(accepts), _interval(rejects)


def calibrate_pairs(
    pairs: PairCounts, sample: PairSample, *, false_accept_rate: float = 1e-2
) -> Calibration:
    """Calibrates as `fit_calibration`, with the intervals of `bootstrap_error_rates`.

    `sample` holds some of the pairs, with their people.
    """
    calibration = fit_calibration(pairs, false_accept_rate=false_accept_rate)
    accepts, rejects = bootstrap_error_rates(sample, calibration.threshold)
    return replace(calibration, false_accept_interval=accepts, false_reject_interval=rejects)


def paired_bootstrap(
    first: RankingScores, second: RankingScores, *, samples: int = 1000, seed: int = 0
) -> dict[str, PairedComparison]:
    """Tells whether one model is better than another on the same queries and gallery.

    Each draw of people scores both models, so that what makes a person hard for both cancels.

    Returns:
        By the name of the score the difference, first minus second, with its interval.

    Raises:
        InputError: The scores are not of the same queries, gallery and protocol, or `samples` is
            below 1.
    """
    _check_comparable(first, second)
    tables = [np.stack(list(_per_query(each).values()), axis=1) for each in (first, second)]
    differences = tables[0] - tables[1]
    people = first.per_query.people[first.per_query.scored]
    draws = _draws(differences, people, samples, seed)
    tails = np.minimum((draws <= 0).mean(axis=0), (draws >= 0).mean(axis=0))
    return {
        name: PairedComparison(
            float(difference.mean()),
            _interval(draw, lowest=-1.0),
            1.0 if np.isnan(draw).any() else float(min(1.0, 2 * tail)),
        )
        for name, difference, draw, tail in zip(
            _per_query(first), differences.T, draws.T, tails, strict=True
        )
    }


def _check_comparable(first: RankingScores, second: RankingScores) -> None:
    facts = [
        f"{each.protocol}, {each.queries} + {each.queries_without_match} queries, "
        f"{each.gallery} gallery images"
        for each in (first, second)
    ]
    if facts[0] != facts[1]:
        raise InputError(
            "Both models must be scored on the same queries and gallery by the same protocol. "
            f"Received: {' and '.join(facts)}. Score one of them again."
        )
    for name in ("people", "match_counts"):
        if not np.array_equal(getattr(first.per_query, name), getattr(second.per_query, name)):
            raise InputError(
                "Both models must be scored on the same queries in the same order. Received: other "
                f"{name.replace('_', ' ')}. Score one of them again."
            )


def _weigh_pairs(sample: PairSample, samples: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yields the weights of pairs of one person, and of two, in each draw of people.

    Draws in which one of the kinds is missing are left out; all are, of fewer than three people.
    """
    _check_samples(samples)
    pairs = np.stack([sample.first_person, sample.second_person])
    people, codes = np.unique(pairs, return_inverse=True)
    first, second = codes.reshape(2, -1)
    same = first == second
    random = np.random.default_rng(seed)
    for _ in range(samples if len(people) > 2 else 0):
        drawn = random.integers(0, len(people), len(people))
        weights = np.bincount(drawn, minlength=len(people))
        near = np.where(same, weights[first], 0)
        far = np.where(same, 0, weights[first] * weights[second])
        if near.any() and far.any():
            yield near, far


def _per_query(scores: RankingScores) -> dict[str, Floats]:
    """Gives each scored query's share in each score."""
    results = scores.per_query
    kept = results.scored
    first = results.first_match_rank[kept]
    return {
        "rank1": (first <= 1).astype(np.float64),
        "rank5": (first <= 5).astype(np.float64),
        "rank10": (first <= 10).astype(np.float64),
        "mAP": results.average_precision[kept],
        "mAP_trapezoid": results.average_precision_trapezoid[kept],
        "mINP": results.inverse_negative_penalty[kept],
    }


def _draws(values: Floats, people: Indices, samples: int, seed: int) -> Floats:
    """Takes means of the columns for each draw of people; NaN where one person is all there is."""
    _check_samples(samples)
    names, codes, counts = np.unique(people, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return np.full((1, values.shape[1]), np.nan)
    sums = np.stack([np.bincount(codes, column) for column in values.T], axis=1)
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(names), np.full(len(names), 1 / len(names)), samples)
    return np.asarray((weights @ sums) / (weights @ counts)[:, None], np.float64)


def _interval(draws: NDArray[Any], lowest: float = 0.0) -> Interval:
    if np.isnan(draws).any():
        return Interval(lowest, 1.0)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(low), float(high))


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise InputError(f"`samples` must be at least 1. Received: samples={samples}.")
