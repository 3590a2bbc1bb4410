"""Pairs, ROC, calibration and verdicts against hand-worked cases and scikit-learn."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pair_counts import BINS, counted, overlapping

from siamese.errors import InputError
from siamese.metrics import pairs as pairs_module
from siamese.metrics.calibration import Calibration, fit_calibration, measure_reliability
from siamese.metrics.pairs import count_pairs, sample_pairs
from siamese.metrics.verification import error_curves, error_rates_at, score_verification


def made(images=60, people=7, cameras=3, seed=0):
    random = np.random.default_rng(seed)
    owners = random.integers(0, people, images)
    points = owners[:, None] + random.standard_normal((images, 4))
    return points, owners, random.integers(1, cameras + 1, images)


def slow_pairs(points, people, cameras, cross):
    same, different = [], []
    for i in range(len(points)):
        for j in range(i):
            if cross and (cameras[i] == cameras[j] or -1 in (cameras[i], cameras[j])):
                continue
            distance = float(np.linalg.norm(points[i] - points[j]))
            (same if people[i] == people[j] else different).append(distance)
    return sorted(same), sorted(different)


def distances_of(counts, pairs):
    return np.repeat(np.arange(1, len(counts) + 1) * pairs.resolution, counts)


@pytest.mark.parametrize("cross", [True, False])
def test_every_pair_counts_once_at_its_distance(cross, monkeypatch):
    monkeypatch.setattr(pairs_module, "_ROWS", 13)
    monkeypatch.setattr(pairs_module, "_SLICE", 50)
    points, people, cameras = made()
    cameras = np.where(np.arange(60) % 10 == 0, -1, cameras) if cross else np.full(60, 4)
    pairs = count_pairs(points, people, cameras)
    same, different = slow_pairs(points, people, cameras, cross)
    assert pairs.protocol == ("cross-camera pairs" if cross else "all pairs")
    assert distances_of(pairs.same, pairs) == pytest.approx(same, abs=1.01 * pairs.resolution)
    assert distances_of(pairs.different, pairs) == pytest.approx(
        different, abs=1.01 * pairs.resolution
    )


def test_pairs_of_one_camera_are_left_out():
    # Distance 1 is within camera 1; only 2 and 3, between the cameras, count.
    pairs = count_pairs([[0.0], [1.0], [3.0], [7.0]], ["a", "b", "a", "b"], [1, 1, 2, 2])
    assert distances_of(pairs.same, pairs).tolist() == [3, 6]
    assert distances_of(pairs.different, pairs).tolist() == [2, 7]


def test_junk_and_distractors_take_no_part():
    people = ["a", "a", "b", "-1", "0000"]
    pairs = count_pairs([[0.0], [1.0], [3.0], [4.0], [5.0]], people, [1, 2, 3, 3, 3])
    assert pairs.same.sum() == 1
    assert pairs.different.sum() == 2
    assert pairs.people == 2


def test_cosine_distances_are_counted_too():
    pairs = count_pairs(
        [[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]], ["a", "a", "b"], [1, 2, 3], metric="cosine"
    )
    assert distances_of(pairs.same, pairs) == pytest.approx([1], abs=2e-5)
    assert distances_of(pairs.different, pairs) == pytest.approx([1, 2], abs=2e-5)


def test_large_sets_are_reduced_by_whole_people():
    points, people, cameras = made(images=400, people=40)
    pairs = count_pairs(points, people, cameras, maximum_images=100)
    assert 1 < pairs.people < 40
    assert pairs.people + pairs.people_left_out == 40
    assert score_verification(pairs).pairs.people_left_out == pairs.people_left_out


def test_scores_worked_by_hand():
    # Same: .1 .2 .3 .6; different: .4 .5 .7 .8. Of 16 comparisons, .6 loses to .4 and .5: 14 / 16.
    # Accepting up to .5: FAR 2/4, FRR 1/4; up to .4: both 1/4: EER 1/4.
    scores = score_verification(counted([0.1, 0.2, 0.3, 0.6], [0.4, 0.5, 0.7, 0.8]))
    assert scores.auc == pytest.approx(14 / 16)
    assert scores.eer == pytest.approx(1 / 4)
    assert scores.eer_threshold == pytest.approx(0.4)
    assert scores.tar_at_far == {1e-2: 0.75, 1e-3: 0.75, 1e-4: 0.75}
    assert scores.pairs.same_pairs == scores.pairs.different_pairs == 4
    assert scores.roc[0].tolist() == [0, 0]
    assert scores.roc[-1].tolist() == [1, 1]


def test_equal_distances_count_half_in_the_area():
    assert score_verification(counted([0.5], [0.5])).auc == 0.5
    assert score_verification(counted([0.5], [0.5])).eer == 0.5


def test_scores_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    points, people, cameras = made(images=200, people=12)
    same, different = slow_pairs(points, people, cameras, cross=True)
    scores = score_verification(count_pairs(points, people, cameras))
    truth = [1] * len(same) + [0] * len(different)
    nearness = -np.array(same + different)
    far, tar, _ = metrics.roc_curve(truth, nearness)
    assert scores.auc == pytest.approx(metrics.roc_auc_score(truth, nearness), abs=1e-4)
    assert scores.eer == pytest.approx(far[np.argmin(abs(far - (1 - tar)))], abs=2e-3)
    for rate, value in scores.tar_at_far.items():
        assert value == pytest.approx(tar[far <= rate].max(), abs=2e-3)
    assert (np.diff(scores.roc, axis=0) >= 0).all()
    assert np.trapezoid(scores.roc[:, 1], scores.roc[:, 0]) == pytest.approx(scores.auc, abs=1e-3)


def test_operating_points_keep_their_promise():
    scores = score_verification(overlapping())
    asked = (1e-4, 1e-3, 1e-2, 5e-2, 1e-1)
    for rate, point in zip(asked, scores.table, strict=True):
        assert 0.8 * rate < point.false_accept_rate <= rate


def test_error_curves_are_computed_once_a_set():
    pairs, others = overlapping(), replace(overlapping(), people=3)
    assert error_curves(pairs) is error_curves(pairs)
    assert error_curves(others) is not error_curves(pairs)


def test_the_threshold_follows_the_rate_asked_for():
    pairs = overlapping()
    strict, loose = (fit_calibration(pairs, false_accept_rate=rate) for rate in (1e-3, 1e-1))
    assert strict.threshold < loose.threshold
    for calibration in (strict, loose):
        accepts, _ = calibration.error_rates(calibration.threshold)
        assert accepts == pytest.approx(calibration.false_accept_rate, rel=0.1)
        assert calibration.threshold_at(calibration.false_accept_rate) == calibration.threshold


def test_error_rates_agree_with_counting():
    pairs = overlapping()
    calibration = fit_calibration(pairs)
    for edge in range(50, 1000, 50):
        accepts, rejects = calibration.error_rates(edge / BINS)
        assert accepts == pytest.approx(
            pairs.different[:edge].sum() / pairs.different.sum(), abs=5e-3
        )
        assert rejects == pytest.approx(pairs.same[edge:].sum() / pairs.same.sum(), abs=5e-3)


def test_probability_is_that_of_the_two_curves():
    # Bell curves of deviation s, d apart: log odds fall by d / s^2, and are even in the middle.
    calibration = fit_calibration(overlapping())
    assert calibration.slope == pytest.approx(0.3 / 0.1**2, rel=0.05)
    assert calibration.centre == pytest.approx(0.5, abs=0.01)
    assert calibration.probability(calibration.centre) == pytest.approx(0.5)
    assert calibration.probability([0.4, 0.4]).shape == (2,)


def test_the_prior_is_even_whatever_the_number_of_pairs():
    random = np.random.default_rng(0)
    near, far = random.normal(0.35, 0.1, 500), random.normal(0.65, 0.1, 50_000)
    calibration = fit_calibration(counted(near.clip(0.001, 1), far.clip(0.001, 1), people=10**6))
    assert calibration.centre == pytest.approx(0.5, abs=0.02)


def test_few_people_never_give_certainty():
    separate = [0.1, 0.15, 0.2] * 500, [0.7, 0.8, 0.9] * 5000
    few = fit_calibration(counted(*separate, people=4))
    many = fit_calibration(counted(*separate, people=1000))
    assert few.probability(0.1) < many.probability(0.1) < 1
    assert 0.75 < few.probability(0.1) < 0.9
    assert few.probability(0.9) > many.probability(0.9) > 0


@pytest.mark.parametrize(
    ("same", "different"), [([0.8, 0.9], [0.1, 0.2]), ([0.5], [0.5]), ([0.2, 0.8], [0.2, 0.8])]
)
def test_probability_never_rises_with_distance(same, different):
    calibration = fit_calibration(counted(same, different))
    assert calibration.slope == 0
    assert calibration.probability([0.0, 0.5, 1.0]).tolist() == [0.5] * 3
    assert calibration.word_rates()["unsure"] == (1, 1)
    priors = {"different": 0.01, "probably different": 0.3, "unsure": 0.5, "same": 0.96}
    for word, prior in priors.items():
        assert {calibration.verdict(distance, prior) for distance in (0, 0.5, 9)} == {word}


def test_calibration_survives_json():
    calibration = fit_calibration(overlapping())
    for each in (calibration, replace(calibration, false_accept_interval=(0.005, 0.02))):
        values = json.loads(json.dumps(each.to_dict()))
        assert Calibration.from_dict(values) == each
    del values["false_accept_interval"]  # a file of before there were any
    assert Calibration.from_dict(values) == calibration
    older = {**values, "same_below": 0.3, "different_above": 0.7}
    assert Calibration.from_dict(older) == calibration


def test_reliability_worked_by_hand():
    # Two bins of distance. Promised: p(0.2) and p(0.8). At 0.2 lie 3 of 4 same and 1 of 4 different
    # pairs, hence 3/4 came true, and half of all pairs lie there; at 0.8 the reverse.
    pairs = counted([0.2, 0.2, 0.2, 0.8], [0.2, 0.8, 0.8, 0.8])
    calibration = fit_calibration(pairs)
    diagram = measure_reliability(calibration, pairs)
    promised = calibration.probability([0.7995, 0.1995])
    assert diagram.predicted == pytest.approx(promised)
    assert diagram.observed == pytest.approx([1 / 4, 3 / 4])
    assert diagram.share == pytest.approx([0.5, 0.5])
    assert diagram.expected_calibration_error == pytest.approx(
        abs(promised - [0.25, 0.75]).mean(), abs=1e-9
    )


def test_a_fitting_curve_is_reliable_and_a_wrong_one_is_not():
    calibration = fit_calibration(overlapping(seed=0))
    assert measure_reliability(calibration, overlapping(seed=1)).expected_calibration_error < 0.01
    assert (
        measure_reliability(calibration, overlapping(1, gap=0.1)).expected_calibration_error > 0.1
    )


def test_thirty_people_are_enough_for_a_verdict():
    points, people, cameras = made(images=700, people=30, cameras=4)
    calibration = fit_calibration(count_pairs(points, people, cameras))
    assert 0 < calibration.threshold < 100
    assert calibration.verdict(0.0) == "probably same"
    assert calibration.verdict(100.0) == "different"
    assert 0 < calibration.probability(100.0) < calibration.probability(0.0) < 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_sample_holds_true_pairs_of_both_kinds(metric):
    points, people, cameras = made(images=100)
    points -= points.mean(axis=0)
    sample = sample_pairs(points, people, cameras, metric=metric, size=100_000)
    pairs = count_pairs(points, people, cameras, metric=metric)
    alike = sample.first_person == sample.second_person
    assert np.sort(sample.distances[alike]) == pytest.approx(
        distances_of(pairs.same, pairs), abs=1e-3
    )
    expected = np.quantile(distances_of(pairs.different, pairs), [0.1, 0.5, 0.9])
    found = np.quantile(sample.distances[~alike], [0.1, 0.5, 0.9])
    assert found == pytest.approx(expected, rel=0.03)
    small = sample_pairs(points, people, cameras, metric=metric, size=10)
    assert len(small.distances) == 20


@pytest.mark.parametrize("count", [count_pairs, sample_pairs])
@pytest.mark.parametrize(
    ("embeddings", "people", "cameras", "sentence"),
    [
        ([[0.0], [1.0]], ["a", "b"], [1, 2], "two images"),
        ([[0.0], [1.0]], ["a", "a"], [1, 2], "two people"),
        ([[0.0], [np.inf]], ["a", "a"], [1, 2], "row 1"),
        ([[0.0], [1.0]], ["a"], [1], "one person for each"),
        ([[0.0], [1.0]], ["a", "a"], [1, None], "-1 for a missing camera"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(count, embeddings, people, cameras, sentence):
    with pytest.raises(InputError, match=sentence):
        count(embeddings, people, cameras)


def test_bad_requests_are_refused_in_a_sentence():
    pairs = overlapping()
    calibration = fit_calibration(pairs)
    for rate in (0, 1, 5):
        with pytest.raises(InputError, match="false_accept_rate"):
            fit_calibration(pairs, false_accept_rate=rate)
    values = calibration.to_dict()
    values["middle"] = values.pop("centre")
    with pytest.raises(InputError, match="unknown: centre, middle"):
        Calibration.from_dict(values)
    values = calibration.to_dict()
    with pytest.raises(InputError, match="rows of threshold"):
        Calibration.from_dict({**calibration.to_dict(), "table": [1, 2]})
    with pytest.raises(InputError, match="calibration's metric"):
        measure_reliability(calibration, replace(pairs, metric="cosine"))
    for make in (fit_calibration, lambda _: Calibration.from_dict({**values, "metric": "cosine"})):
        with pytest.raises(InputError, match="Euclidean distances"):
            make(replace(pairs, metric="cosine"))
    with pytest.raises(InputError, match="maximum_images"):
        count_pairs(*made(), maximum_images=1)


def test_error_rates_of_a_threshold_from_elsewhere_are_counted():
    points, people, cameras = made()
    pairs = count_pairs(points, people, cameras)
    distances = {kind: [] for kind in (True, False)}
    for i in range(len(points)):
        for j in range(i):
            if cameras[i] != cameras[j]:
                distances[people[i] == people[j]].append(np.linalg.norm(points[i] - points[j]))
    for threshold in (-np.inf, 0.0, 0.7, 1.3, 99.0, np.inf):
        found = error_rates_at(pairs, threshold)
        accepted = np.mean(np.array(distances[False]) <= threshold)
        rejected = np.mean(np.array(distances[True]) > threshold)
        assert found.false_accept_rate == pytest.approx(accepted, abs=2e-3)
        assert found.false_reject_rate == pytest.approx(rejected, abs=1e-2)


def test_error_rates_of_a_threshold_are_read_at_its_own_bin():
    # Pairs of one person at .1 and .2, of two people at .2 and .4; up to .2 is accepted.
    pairs = counted([0.1, 0.2], [0.2, 0.4])
    for threshold, rates in {0.0: (0, 1), 0.199: (0, 0.5), 0.2: (0.5, 0), 0.4: (1, 0)}.items():
        found = error_rates_at(pairs, threshold)
        assert (found.false_accept_rate, found.false_reject_rate) == rates


def test_chosen_false_accept_rates_make_the_rows_of_the_table():
    scores = score_verification(overlapping(), false_accept_rates=(0.2, 0.003))
    assert [row.false_accept_rate for row in scores.table] == pytest.approx([0.2, 0.003], rel=0.05)
    with pytest.raises(InputError, match="false_accept_rate=1"):
        score_verification(overlapping(), false_accept_rates=(1.0,))


def test_a_histogram_keeps_every_pair():
    pairs = count_pairs(*made())
    middles, same, different = pairs.histogram(0.1)
    assert (same.sum(), different.sum()) == (pairs.same.sum(), pairs.different.sum())
    assert np.diff(middles) == pytest.approx(np.diff(middles)[0])
    mean = (middles @ same) / same.sum()
    exact = ((np.arange(len(pairs.same)) + 0.5) * pairs.resolution) @ pairs.same / pairs.same.sum()
    assert mean == pytest.approx(exact, abs=0.05)
