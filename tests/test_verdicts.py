"""The five words: bounds, prior and shares against hand-worked cases and slow loops."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pair_counts import BINS, counted, overlapping

from siamese.errors import InputError
from siamese.evaluate.score_report import OwnThreshold
from siamese.metrics.calibration import VERDICT_BOUNDS, VERDICTS, fit_calibration


def steep(slope=10.0):
    """Even odds at distance 1; the odds of one person fall by e a tenth."""
    return replace(fit_calibration(overlapping()), slope=slope, centre=1.0)


def test_bounds_of_the_words_worked_by_hand():
    # Odds of 0.95 are 19, of 0.6 they are 1.5, of 0.4 and 0.05 one through these.
    bounds = steep().bounds()
    assert bounds == pytest.approx([0.7055561, 0.9594535, 1.0405465, 1.2944439])
    assert steep().probability(bounds) == pytest.approx(VERDICT_BOUNDS)
    for bound, (word, following) in zip(bounds, pairwise(VERDICTS), strict=True):
        assert (steep().verdict(bound), steep().verdict(bound + 1e-9)) == (word, following)
    # Odds of 1 : 99 beforehand move each bound by ln(99) / 10.
    assert steep().bounds(0.01) == pytest.approx(np.array(bounds) - 0.4595120)
    assert steep().bounds(0.01)[0] > 0 > steep().bounds(1e-4)[0]


def test_the_prior_goes_in_by_the_theorem_of_bayes():
    calibration = steep(4.0)
    for prior in (0.001, 0.2, 0.5, 0.9):
        for distance in np.linspace(0, 2, 9).tolist():
            even = float(calibration.probability(distance))
            one, two = prior * even, (1 - prior) * (1 - even)
            found = float(calibration.probability(distance, prior))
            assert found == pytest.approx(one / (one + two))
            lowest = zip(VERDICTS, (*VERDICT_BOUNDS, 0), strict=True)
            expected = next(word for word, low in lowest if found >= low)
            assert calibration.verdict(distance, prior) == expected


def test_words_turn_with_distance_and_prior_one_way_only():
    calibration = steep()
    places = [
        [VERDICTS.index(calibration.verdict(distance, prior)) for distance in np.arange(0, 2, 0.01)]
        for prior in (0.95, 0.5, 0.1)
    ]
    assert (np.diff(places, axis=1) >= 0).all()
    assert (np.diff(places, axis=0) >= 0).all()
    assert {*places[1]} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("prior", [0.5, 0.03])
def test_shares_of_the_words_agree_with_counting(prior):
    pairs = overlapping()
    calibration = fit_calibration(pairs)
    counts = {word: [0, 0] for word in VERDICTS}
    for edge in range(BINS):
        word = calibration.verdict((edge + 1) / BINS, prior)
        counts[word][0] += pairs.same[edge]
        counts[word][1] += pairs.different[edge]
    rates = calibration.word_rates(prior)
    assert list(rates) == list(VERDICTS)
    for word, shares in rates.items():
        expected = [counts[word][0] / pairs.same.sum(), counts[word][1] / pairs.different.sum()]
        assert shares == pytest.approx(expected, abs=0.01), word
    assert np.sum(list(rates.values()), axis=0) == pytest.approx([1, 1])


def test_same_or_not_goes_by_the_threshold_alone():
    # FAR 1e-2 is reached just below 0.8.
    calibration = fit_calibration(counted([0.1, 0.2], [0.6] * 5 + [0.8] * 995))
    assert 0.6 < calibration.threshold < 0.8
    assert calibration.error_rates(calibration.threshold) == (0.005, 0)
    assert calibration.same(calibration.threshold)
    assert not calibration.same(calibration.threshold + 1e-9)


@pytest.mark.parametrize("prior", [0, 1, -0.5, 2, float("nan")])
def test_a_prior_is_no_certainty(prior):
    for ask in (steep().bounds, steep().word_rates, lambda p: steep().verdict(0.5, p)):
        with pytest.raises(InputError, match="`prior` must be above 0 and below 1"):
            ask(prior)


def test_words_of_an_evaluation_tell_how_often_each_was_wrong():
    measured = [(0.5, 0.1), (0.2, 0.1), (0.1, 0.1), (0.2, 0.3), (0.0, 0.4)]
    own = OwnThreshold(
        threshold=1.0,
        metric="euclidean",
        promised_rates=(0.01, 0.2),
        promised_words=dict.fromkeys(VERDICTS, (0.2, 0.3)),
        measured_words=dict(zip(VERDICTS, measured, strict=True)),
        expected_calibration_error=0.0,
    )
    rows = own.word_table()
    # Of six in ten pairs that are called the same, one is of two people; and so on.
    wrong = [row[1][-1] for row in rows]
    assert wrong[2] is None
    assert [wrong[each] for each in (0, 1, 3, 4)] == pytest.approx([1 / 6, 1 / 3, 0.4, 0])
    assert rows[1] == ("probably same", [0.2, 0.2, 0.1, 0.3, pytest.approx(1 / 3)])
    assert replace(own, measured_words=None).word_table() == []
