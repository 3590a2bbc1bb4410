"""Bootstrap intervals against slow loops, known spreads and hand-worked cases."""

from dataclasses import replace

import numpy as np
import pytest

from siamese.errors import InputError
from siamese.metrics.bootstrap import (
    Interval,
    bootstrap_error_rates,
    bootstrap_ranking,
    bootstrap_verification,
    paired_bootstrap,
)
from siamese.metrics.masks import ProtocolMask
from siamese.metrics.pairs import PairSample, count_pairs, sample_pairs
from siamese.metrics.ranking import QueryResults, score_distances, score_ranking
from siamese.metrics.verification import error_rates_at, score_verification


def made(people=40, images=10, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), images)
    centres = random.standard_normal((people, 5))
    points = centres[owners] + noise * random.standard_normal((people * images, 5))
    return points, owners, np.tile(np.arange(images) % 2 + 1, people)


def ranked(points, people, cameras):
    return score_ranking(points[::5], people[::5], cameras[::5], points, people, cameras)


def with_precisions(precisions, people):
    """Scores whose queries have these average precisions."""
    count = len(people)
    mask = ProtocolMask(people, [1] * count, people, [2] * count)
    scores = score_distances(iter([(0, np.ones((count, count), np.float32))]), mask)
    values = np.asarray(precisions, np.float64)
    results = scores.per_query
    results = QueryResults(
        results.people, results.match_counts, results.first_match_rank, values, values, values
    )
    return replace(scores, per_query=results)


def test_intervals_hold_the_scores():
    scores = ranked(*made())
    for name, interval in bootstrap_ranking(scores).items():
        assert 0 <= interval.low < getattr(scores, name) < interval.high <= 1


def test_the_interval_has_the_width_of_the_mean_of_people():
    # 400 people with one query each, AP 0 or 1 evenly: the deviation of the mean is 0.5 / 20.
    scores = with_precisions([0, 1] * 200, list(range(400)))
    interval = bootstrap_ranking(scores, samples=4000)["mAP"]
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.004)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.004)


def test_people_are_drawn_and_not_queries():
    # The same 400 queries of only 4 people, two of them all right and two all wrong: drawing
    # people, it is no surprise (1 in 16) that none of the four draws is right.
    scores = with_precisions([0] * 200 + [1] * 200, [0] * 100 + [1] * 100 + [2] * 100 + [3] * 100)
    assert bootstrap_ranking(scores)["mAP"] == Interval(0, 1)


def test_people_with_more_queries_weigh_more():
    # Each draw of the two people is the mean over its queries: 0, 9 / 10 or 1.
    scores = with_precisions([0] + [1] * 9, [0] + [1] * 9)
    draws = bootstrap_ranking(scores, samples=2000)["mAP"]
    assert draws == Interval(0, 1)
    comparison = paired_bootstrap(scores, with_precisions([0] * 10, [0] + [1] * 9))["mAP"]
    assert comparison.difference == pytest.approx(0.9)


def test_queries_without_a_match_stay_out():
    people = np.arange(30)
    embeddings = np.random.default_rng(0).standard_normal((30, 3))
    scores = score_ranking(embeddings, people, [1] * 30, embeddings[:20], people[:20], [2] * 20)
    assert scores.queries_without_match == 10
    interval = bootstrap_ranking(scores)["rank1"]
    assert interval == Interval(1, 1)


def test_one_person_says_nothing_of_others():
    scores = with_precisions([0.2, 0.4], ["a", "a"])
    assert bootstrap_ranking(scores)["mAP"] == Interval(0, 1)
    other = with_precisions([0.1, 0.1], ["a", "a"])
    comparison = paired_bootstrap(scores, other)["mAP"]
    assert comparison.interval == Interval(-1, 1)
    assert comparison.p_value == 1


def test_draws_repeat():
    scores = ranked(*made())
    assert bootstrap_ranking(scores) == bootstrap_ranking(scores)
    assert bootstrap_ranking(scores) != bootstrap_ranking(scores, seed=1)


def test_verification_intervals_hold_the_scores():
    points, people, cameras = made(noise=0.7)
    scores = score_verification(count_pairs(points, people, cameras))
    sample = sample_pairs(points, people, cameras, size=5000)
    intervals = bootstrap_verification(sample)
    assert intervals["auc"].low < scores.auc < intervals["auc"].high
    assert intervals["eer"].low < scores.eer < intervals["eer"].high
    assert intervals["auc"].high - intervals["auc"].low < 0.1
    for rate, accepted in scores.tar_at_far.items():
        interval = intervals[f"tar_at_far_{rate:g}"]
        assert interval.low <= accepted <= interval.high


def test_accepted_shares_of_one_draw_are_counted_by_hand():
    # Three people; whatever is drawn, pairs of two people begin beyond half of those of one.
    sample = PairSample(
        np.array([1, 1, 1, 5, 5, 5, 3, 3, 3], np.float32),
        np.array([0, 1, 2, 0, 1, 2, 0, 0, 1]),
        np.array([0, 1, 2, 0, 1, 2, 1, 2, 2]),
    )
    # 400 times, as fewer than ten accepted pairs of two people would tell nothing.
    sample = PairSample(*(np.tile(column, 400) for column in vars(sample).values()))
    intervals = bootstrap_verification(sample)
    assert intervals["tar_at_far_0.01"] == Interval(0.5, 0.5)
    assert intervals["tar_at_far_0.001"] == Interval(0, 1)


def test_verification_draws_weigh_pairs_by_people():
    # Person 0 is told apart without error, person 1 never is: without either, AUC is 0 or 1.
    sample = PairSample(
        np.array([1, 9, 5, 5, 5], np.float32),
        np.array([0, 1, 0, 0, 1]),
        np.array([0, 1, 1, 2, 2]),
    )
    intervals = bootstrap_verification(sample)
    assert intervals["auc"] == Interval(0, 1)
    assert intervals["eer"] == Interval(0, 1)


def few_pairs():
    random = np.random.default_rng(5)
    first, second = random.integers(0, 6, (2, 80))
    second[:30] = first[:30]
    return PairSample(random.random(80).astype(np.float32), first, second)


def copied(sample):
    """50 draws of people, each as the distances of pairs of one person and of two, repeated."""
    draws = np.random.default_rng(0)
    for _ in range(50):
        copies = list(draws.integers(0, 6, 6))
        near, far = [], []
        people = zip(sample.first_person, sample.second_person, strict=True)
        for distance, (a, b) in zip(sample.distances, people, strict=True):
            times = copies.count(a) * (copies.count(b) if a != b else 1)
            (near if a == b else far).extend([distance] * times)
        if near and far:
            yield np.array(near), np.array(far)


def test_verification_draws_agree_with_copies_of_people():
    sample = few_pairs()
    areas = []
    for near, far in copied(sample):
        wins = np.less.outer(near, far).mean() + np.equal.outer(near, far).mean() / 2
        areas.append(wins)
    low, high = np.quantile(areas, [0.025, 0.975])
    interval = bootstrap_verification(sample, samples=50)["auc"]
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


def test_equal_distances_count_half():
    sample = PairSample(
        np.ones(9, np.float32),
        np.array([0, 1, 2, 3, 0, 1, 2, 3, 0]),
        np.array([0, 1, 2, 3, 1, 2, 3, 0, 2]),
    )
    assert bootstrap_verification(sample)["auc"] == Interval(0.5, 0.5)


def test_two_people_are_too_few_for_verification():
    sample = PairSample(np.array([1, 2], np.float32), np.array([0, 0]), np.array([0, 1]))
    assert set(bootstrap_verification(sample).values()) == {Interval(0, 1)}


def test_a_constant_gain_is_seen_where_the_intervals_overlap():
    random = np.random.default_rng(0)
    people = list(range(60))
    base = random.random(60)
    worse, better = with_precisions(base * 0.9, people), with_precisions(base * 0.9 + 0.03, people)
    apart = bootstrap_ranking(worse)["mAP"].high > bootstrap_ranking(better)["mAP"].low
    assert apart
    comparison = paired_bootstrap(better, worse)["mAP"]
    assert comparison.difference == pytest.approx(0.03)
    assert comparison.interval.low == pytest.approx(0.03)
    assert comparison.p_value == 0


def test_a_model_is_no_better_than_itself():
    scores = ranked(*made())
    comparison = paired_bootstrap(scores, scores)["rank1"]
    assert comparison.difference == 0
    assert comparison.p_value == 1


def test_swapping_the_models_turns_the_sign():
    first, second = ranked(*made(seed=1)), ranked(*made(seed=2))
    one, other = paired_bootstrap(first, second)["mAP"], paired_bootstrap(second, first)["mAP"]
    assert one.difference == -other.difference
    assert one.interval.low == pytest.approx(-other.interval.high)
    assert one.p_value == other.p_value


def test_other_sets_are_refused():
    points, people, cameras = made()
    scores = ranked(points, people, cameras)
    fewer = score_ranking(
        points[::5], people[::5], cameras[::5], points[:-1], people[:-1], cameras[:-1]
    )
    with pytest.raises(InputError, match="399 gallery images"):
        paired_bootstrap(scores, fewer)
    with pytest.raises(InputError, match="query image dropped"):
        paired_bootstrap(scores, replace(scores, protocol="query image dropped"))
    moved = ranked(points, np.roll(people, 5), cameras)
    with pytest.raises(InputError, match="other people"):
        paired_bootstrap(scores, moved)
    results = replace(scores.per_query, match_counts=scores.per_query.match_counts + 1)
    with pytest.raises(InputError, match="other match counts"):
        paired_bootstrap(scores, replace(scores, per_query=results))


def test_bad_requests_are_refused():
    scores = ranked(*made())
    with pytest.raises(InputError, match="`samples`"):
        bootstrap_ranking(scores, samples=0)


def test_intervals_of_error_rates_hold_the_rates():
    points, people, cameras = made(noise=0.7)
    pairs = count_pairs(points, people, cameras)
    threshold = score_verification(pairs).eer_threshold
    found = error_rates_at(pairs, threshold)
    sample = sample_pairs(points, people, cameras, size=5000)
    accepts, rejects = bootstrap_error_rates(sample, threshold)
    assert accepts.low < found.false_accept_rate < accepts.high
    assert rejects.low < found.false_reject_rate < rejects.high
    assert (accepts, rejects) == bootstrap_error_rates(sample, threshold)
    assert (accepts, rejects) != bootstrap_error_rates(sample, threshold, seed=1)


def test_error_rates_of_draws_agree_with_copies_of_people():
    sample = few_pairs()
    rates = [((far <= 0.4).mean(), (near > 0.4).mean()) for near, far in copied(sample)]
    expected = np.quantile(rates, [0.025, 0.975], axis=0).T
    found = bootstrap_error_rates(sample, 0.4, samples=50)
    assert np.array([[each.low, each.high] for each in found]) == pytest.approx(expected)


def test_error_rates_of_two_people_say_nothing():
    sample = PairSample(np.array([1, 2], np.float32), np.array([0, 0]), np.array([0, 1]))
    assert bootstrap_error_rates(sample, 1.5) == (Interval(0, 1), Interval(0, 1))
    with pytest.raises(InputError, match="at least 1"):
        bootstrap_error_rates(sample, 1.5, samples=0)
