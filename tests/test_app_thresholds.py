"""`siamese.app.thresholds`: the slider's rate -> threshold and verdict; histograms of the table."""

from dataclasses import replace

import numpy as np
import pytest

from siamese.app.thresholds import calibration_at, histograms
from siamese.metrics.calibration import Calibration, calibrate
from siamese.metrics.pairs import count_pairs


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Of 60 people whose images are near each other, but not without error."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(60, 8))
    points = np.repeat(centres, 4, axis=0) + 0.62 * random.normal(size=(240, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    people = np.repeat(np.arange(60), 4)
    return calibrate(count_pairs(points, people, np.tile([1, 2, 3, 4], 60)))


def test_at_its_own_rate_nothing_moves(calibration: Calibration) -> None:
    assert calibration_at(calibration, calibration.false_accept_rate) is calibration


def test_the_rule_is_that_of_calibrate(calibration: Calibration) -> None:
    # Nearly its own rate: nearly its own bounds, but found from the table.
    moved = calibration_at(calibration, 0.0101)
    assert moved is not calibration
    step = np.diff([row[0] for row in calibration.table]).max()
    for name in ("threshold", "same_below", "different_above"):
        assert abs(getattr(moved, name) - getattr(calibration, name)) <= step


def test_bounds_of_a_table_worked_by_hand(calibration: Calibration) -> None:
    table = (
        (0.0, 0, 1),
        (0.2, 0.001, 0.5),
        (0.4, 0.01, 0.2),
        (0.6, 0.04, 0.01),
        (0.8, 0.1, 0),
        (2, 1, 0),
    )
    small = replace(calibration, table=table, false_accept_rate=0.5)
    moved = calibration_at(small, 0.02)
    # At most 2 %: up to 0.4. At most 0.2 %: up to 0.2. One person is missed in 1 % beyond 0.6.
    assert (moved.same_below, moved.threshold, moved.different_above) == (0.2, 0.4, 0.6)
    moved = calibration_at(small, 0.11)
    # At most 1.1 %: up to 0.4, and nobody need be unsure beyond the bound for "different".
    assert (moved.same_below, moved.threshold, moved.different_above) == (0.4, 0.8, 0.8)
    assert moved.false_accept_rate == 0.11


def test_a_larger_rate_never_says_different_where_a_smaller_said_same(
    calibration: Calibration,
) -> None:
    order = {"same": 0, "unsure": 1, "different": 2}
    rates = np.geomspace(1e-4, 0.2, 25)
    moved = [calibration_at(calibration, rate) for rate in rates]
    thresholds = [each.threshold for each in moved]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]
    for distance in np.linspace(0, 2, 41):
        verdicts = [order[each.verdict(distance)] for each in moved]
        assert max(verdicts[-1:]) <= verdicts[0]
    for each, rate in zip(moved, rates, strict=True):
        assert each.error_rates(each.threshold)[0] <= rate + 1e-12
        assert each.same_below <= each.threshold <= each.different_above


def test_rates_beyond_the_slider_are_taken_into_it(calibration: Calibration) -> None:
    assert calibration_at(calibration, 0.9) == calibration_at(calibration, 0.2)
    assert calibration_at(calibration, 0.0) == calibration_at(calibration, 1e-4)


def test_histograms_are_the_differences_of_the_error_rates(calibration: Calibration) -> None:
    found = histograms(calibration, bins=10)
    assert found.edges.shape == (11,)
    for place in range(10):
        near, far = found.edges[place], found.edges[place + 1]
        accepts = [calibration.error_rates(each)[0] for each in (near, far)]
        rejects = [calibration.error_rates(each)[1] for each in (near, far)]
        assert found.different[place] == pytest.approx(accepts[1] - accepts[0])
        assert found.same[place] == pytest.approx(rejects[0] - rejects[1])
    assert 0.97 < found.same.sum() <= 1
    assert 0.97 < found.different.sum() <= 1
    assert found.same @ found.edges[:-1] < found.different @ found.edges[:-1]


def test_people_who_are_told_apart_without_error_make_a_chart_too() -> None:
    points = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    perfect = calibrate(count_pairs(points, ["a", "a", "b", "b"], [1, 2, 1, 2]))
    found = histograms(perfect)
    assert np.isfinite(found.edges).all()
    assert (np.diff(found.edges) > 0).all()
    moved = calibration_at(perfect, 0.05)
    assert moved.verdict(0.1) == "same"
    assert moved.verdict(1.42) == "different"
