"""`siamese.app.chart`: the slider's rate -> threshold; histograms of the table."""

from dataclasses import replace

import numpy as np
import pytest

from siamese.app.chart import calibration_at, histograms, plot_threshold
from siamese.metrics.calibration import Calibration, fit_calibration
from siamese.metrics.pairs import count_pairs


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Of 60 people whose images are near each other, but not without error."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(60, 8))
    points = np.repeat(centres, 4, axis=0) + 0.62 * random.normal(size=(240, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    people = np.repeat(np.arange(60), 4)
    return fit_calibration(count_pairs(points, people, np.tile([1, 2, 3, 4], 60)))


def test_at_its_own_rate_nothing_moves(calibration: Calibration) -> None:
    assert calibration_at(calibration, calibration.false_accept_rate) is calibration


def test_threshold_of_a_table_worked_by_hand(calibration: Calibration) -> None:
    table = (
        (0.0, 0, 1),
        (0.2, 0.001, 0.5),
        (0.4, 0.01, 0.2),
        (0.6, 0.04, 0.01),
        (0.8, 0.1, 0),
        (2, 1, 0),
    )
    small = replace(calibration, table=table, false_accept_rate=0.5)
    for rate, threshold in {0.02: 0.4, 0.11: 0.8}.items():
        moved = calibration_at(small, rate)
        assert moved == replace(small, threshold=threshold, false_accept_rate=rate)


def test_a_larger_rate_accepts_more_and_changes_no_word(calibration: Calibration) -> None:
    rates = np.geomspace(1e-4, 0.2, 25)
    moved = [calibration_at(calibration, rate) for rate in rates]
    thresholds = [each.threshold for each in moved]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]
    for each, rate in zip(moved, rates, strict=True):
        assert each.error_rates(each.threshold)[0] <= rate + 1e-12
        assert each.bounds() == calibration.bounds()


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
    perfect = fit_calibration(count_pairs(points, ["a", "a", "b", "b"], [1, 2, 1, 2]))
    found = histograms(perfect)
    assert np.isfinite(found.edges).all()
    assert (np.diff(found.edges) > 0).all()
    moved = calibration_at(perfect, 0.05)
    assert moved.same(0.1)
    assert not moved.same(1.42)


def test_the_chart_says_where_the_threshold_and_the_pair_are(calibration: Calibration) -> None:
    for distance in (None, 0.1, 3.0):
        figure = plot_threshold(calibration, distance, unseen=False)
        [legend] = figure.legends
        labels = [text.get_text() for text in legend.get_texts()]
        assert f"threshold {calibration.threshold:.3f}" in labels
        assert (distance is not None) == any("this pair" in each for each in labels)
        low, high = figure.axes[0].get_xlim()
        assert distance is None or low <= distance <= high
        assert "of this gallery" in figure.axes[0].get_xlabel()


def test_what_is_not_known_without_labels_is_not_drawn(calibration: Calibration) -> None:
    unknown = tuple((row[0], row[1], np.nan) for row in calibration.table)
    figure = plot_threshold(replace(calibration, table=unknown, people=0), 0.5)
    found = histograms(replace(calibration, table=unknown))
    assert not found.same.any()
    assert found.different.sum() == pytest.approx(1, abs=0.02)
    labels = [each.get_text() for each in figure.legends[0].get_texts()]
    assert not [each for each in labels if "of one person" in each]
    assert "unknown people of this gallery" in figure.axes[0].get_xlabel()
