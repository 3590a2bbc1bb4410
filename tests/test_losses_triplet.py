"""Tests of siamese.losses.triplet."""

import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from siamese.errors import InputError
from siamese.losses import TripletLoss, WeightedTripletLoss
from siamese.losses.triplet import triplet_violations
from siamese.train.objective import ActiveShare

MINED = ("batch_all", "batch_hard", "semi_hard")
DISTANCES = ("euclidean", "squared_euclidean", "cosine")


def draw(rows: int = 9, people: int = 4, seed: int = 0):
    random = np.random.default_rng(seed)
    return random.integers(0, people, rows), random.normal(size=(rows, 3)).astype(np.float32)


def measure(first, second, distance):
    first, second = first.astype(np.float64), second.astype(np.float64)
    if distance == "cosine":
        return 1 - first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    length = np.linalg.norm(first - second)
    return length if distance == "euclidean" else length**2


def loop_gaps(labels, embeddings, mining, distance):
    """Every mined triplet's gap, one row after the other."""
    rows = range(len(labels))
    gaps = []
    for a in rows:
        to_positives = [
            measure(embeddings[a], embeddings[p], distance)
            for p in rows
            if p != a and labels[p] == labels[a]
        ]
        to_negatives = [
            measure(embeddings[a], embeddings[n], distance) for n in rows if labels[n] != labels[a]
        ]
        if not to_positives or not to_negatives:
            continue
        if mining == "batch_hard":
            gaps.append(max(to_positives) - min(to_negatives))
        elif mining == "batch_all":
            gaps += [p - n for p in to_positives for n in to_negatives]
        else:
            for p in to_positives:
                beyond = [n for n in to_negatives if n > p]
                gaps.append(p - (min(beyond) if beyond else max(to_negatives)))
    return np.array(gaps)


def loop_loss(labels, embeddings, mining, distance, margin):
    gaps = loop_gaps(labels, embeddings, mining, distance)
    if margin == "soft":
        return np.mean(np.log(1 + np.exp(gaps)))
    costs = np.maximum(0, margin + gaps)
    if mining == "batch_all":
        costs = costs[costs > 0]
    return np.mean(costs) if len(costs) else 0.0


# Four rows on a line: person 1 at 0 and 2, person 2 at 3 and 7.
LINE = np.array([[0.0], [2.0], [3.0], [7.0]], np.float32)
PEOPLE = np.array([1, 1, 2, 2])


def test_explicit_triplets_worked_by_hand():
    # Anchor 0, positive 2, negative 3: 1 + 2 - 3 = 0. Anchor 0, positive 4, negative 1: 1 + 3 = 4.
    embeddings = np.array([[0], [2], [3], [0], [4], [1]], np.float32)
    assert float(TripletLoss(1, "explicit")([0] * 6, embeddings)) == pytest.approx(2)
    soft = (np.log1p(np.exp(-1)) + np.log1p(np.exp(3))) / 2
    assert float(TripletLoss("soft", "explicit")([0] * 6, embeddings)) == pytest.approx(soft)


def test_batch_hard_worked_by_hand():
    # Farthest positive, nearest negative: 0: 2, 3. 2: 2, 1. 3: 4, 1. 7: 4, 5. Gaps -1, 1, 3, -1.
    assert float(TripletLoss(0.5)(PEOPLE, LINE)) == pytest.approx((0 + 1.5 + 3.5 + 0) / 4)
    assert float(TripletLoss(2)(PEOPLE, LINE)) == pytest.approx((1 + 3 + 5 + 1) / 4)
    soft = np.log1p(np.exp([-1, 1, 3, -1])).mean()
    assert float(TripletLoss("soft")(PEOPLE, LINE)) == pytest.approx(soft)


def test_batch_all_worked_by_hand():
    # Gaps: 0: 2-3, 2-7. 2: 2-1, 2-5. 3: 4-3, 4-1. 7: 4-7, 4-5. With margin 0.5 those above -0.5
    # are active: 1, 1, 3, with costs 1.5, 1.5, 3.5.
    assert float(TripletLoss(0.5, "batch_all")(PEOPLE, LINE)) == pytest.approx(6.5 / 3)
    soft = np.log1p(np.exp([-1, -5, 1, -3, 1, 3, -3, -1.0])).mean()
    assert float(TripletLoss("soft", "batch_all")(PEOPLE, LINE)) == pytest.approx(soft)


def test_semi_hard_worked_by_hand():
    # Anchor 0: positive at 2, negatives at 3 and 7: 3. Anchor 2: positive 2, negatives 1 and 5: 5.
    # Anchor 3: positive 4, negatives 3 and 1, none beyond: the farthest, 3. Anchor 7: 4; 7, 5: 5.
    # Gaps -1, -3, 1, -1.
    assert float(TripletLoss(2, "semi_hard")(PEOPLE, LINE)) == pytest.approx((1 + 0 + 3 + 1) / 4)


def test_semi_hard_negative_is_farther_and_not_as_far():
    # The negative at 2 ties with the positive at -2; the next one, at 5, is semi-hard: 2 - 5. The
    # other anchor, at -2: positive 2, negatives 4 and 7: 2 - 4. The negatives are single.
    embeddings = np.array([[0], [-2], [2], [5]], np.float32)
    value = float(TripletLoss(10, "semi_hard")([1, 1, 2, 3], embeddings))
    assert value == pytest.approx((7 + 8) / 2)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("mining", MINED)
@pytest.mark.parametrize("margin", [0, 0.7, "soft"])
def test_mined_triplets_equal_a_slow_loop(mining, distance, margin):
    loss = TripletLoss(margin, mining, distance)
    for seed in range(4):
        labels, embeddings = draw(seed=seed)
        expected = loop_loss(labels, embeddings, mining, distance, margin)
        assert float(loss(labels, embeddings)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mining", MINED)
def test_order_and_names_of_people_do_not_matter(mining):
    labels, embeddings = draw()
    order = np.random.default_rng(5).permutation(len(labels))
    renamed = np.array([3001, 3000, 0, 750])[labels]
    loss = TripletLoss(0.5, mining)
    value = float(loss(labels, embeddings))
    assert float(loss(renamed[order], embeddings[order])) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("mining", MINED)
def test_a_one_image_person_is_a_negative_but_no_anchor(mining):
    # Far from the others, person 3 is nobody's nearest negative; only the anchor at 3, whose other
    # negatives are nearer than its positive, has no semi-hard one but this.
    labels, embeddings = np.append(PEOPLE, 3), np.append(LINE, [[1000.0]], axis=0)
    expected = loop_loss(labels, embeddings, mining, "euclidean", 0.5)
    value = float(TripletLoss(0.5, mining)(labels, embeddings))
    assert value == pytest.approx(expected, rel=1e-5)
    without = float(TripletLoss(0.5, mining)(PEOPLE, LINE))
    assert value == pytest.approx(without - (1.5 / 4 if mining == "semi_hard" else 0), rel=1e-5)


@pytest.mark.parametrize("mining", MINED)
@pytest.mark.parametrize("margin", [0.5, "soft"])
@pytest.mark.parametrize(
    "labels",
    [[1, 1, 1, 1], [1, 2, 3, 4], [7]],
    ids=["no negative", "no positive", "one row"],
)
def test_a_batch_without_triplets_costs_nothing(mining, margin, labels):
    embeddings = LINE[: len(labels)]
    value, gradient = value_and_gradient(
        TripletLoss(margin, mining), labels, embeddings, jit_compile=True
    )
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(embeddings))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("mining", [*MINED, "explicit"])
def test_equal_embeddings_cost_the_margin_with_finite_gradients(mining, distance):
    embeddings = np.ones((6, 4), np.float32)
    loss = TripletLoss(0.3, mining, distance)
    value, gradient = value_and_gradient(loss, [1, 1, 2, 2, 3, 3], embeddings, jit_compile=True)
    assert value == pytest.approx(0.3)
    assert np.isfinite(gradient).all()


def test_rows_that_are_no_anchor_have_a_gap_of_zero():
    labels, embeddings = ops.convert_to_tensor([1, 1, 2]), ops.convert_to_tensor(LINE[:3])
    gaps, exists = triplet_violations(labels, embeddings, "batch_hard", "euclidean")
    assert ops.convert_to_numpy(gaps).tolist() == [2 - 3, 2 - 1, 0]
    assert ops.convert_to_numpy(exists).tolist() == [True, True, False]


def test_large_gaps_stay_finite_with_the_soft_margin():
    value, gradient = value_and_gradient(TripletLoss("soft"), PEOPLE, LINE * 1000)
    assert value == pytest.approx((1000 + 3000) / 4)
    assert np.isfinite(gradient).all()


def test_batch_hard_gradient_touches_only_the_chosen_rows():
    # Gaps -1, 1, 3, -1 and margin 0.5: anchors at 2 (positive 0, negative 3), 3 (7, 2) are active.
    # d/dx of |2-0| - |2-3| + |3-7| - |3-2|, over 4 anchors.
    _, gradient = value_and_gradient(TripletLoss(0.5), PEOPLE, LINE)
    np.testing.assert_allclose(gradient.ravel(), np.array([-1, 3, -3, 1]) / 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": -0.1}, "`margin` must be >= 0. Received: margin=-0.1"),
        ({"margin": "hard"}, "a number >= 0 or 'soft'"),
        ({"mining": "hardest"}, "'hardest'"),
        ({"distance": "l2"}, "'l2'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        TripletLoss(**arguments)


def test_explicit_rows_come_in_threes():
    with pytest.raises(InputError, match=r"groups of 3\. Received: 4 rows"):
        TripletLoss(mining="explicit")(PEOPLE, LINE)


def test_weighted_triplet_worked_by_hand():
    # Anchor at 0, positives at 1 and 3, negatives at 2 and 4 (single people).
    labels, embeddings = [1, 1, 1, 2, 3], np.array([[0], [1], [3], [2], [4]], np.float32)
    costs = []
    for positives, negatives in (([1, 3], [2, 4]), ([1, 2], [1, 3]), ([3, 2], [1, 1])):
        p, n = np.array(positives, float), np.array(negatives, float)
        to_positives = (np.exp(p) * p).sum() / np.exp(p).sum()
        to_negatives = (np.exp(-n) * n).sum() / np.exp(-n).sum()
        costs.append(np.log1p(np.exp(to_positives - to_negatives)))
    value = float(WeightedTripletLoss()(labels, embeddings))
    assert value == pytest.approx(np.mean(costs), rel=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_weighted_triplet_equals_a_slow_loop(distance):
    for seed in range(3):
        labels, embeddings = draw(seed=seed)
        rows, costs = range(len(labels)), []
        for a in rows:
            positives, negatives = {}, {}
            for b in rows:
                if b != a:
                    chosen = positives if labels[a] == labels[b] else negatives
                    chosen[b] = measure(embeddings[a], embeddings[b], distance)
            if positives and negatives:
                far = sum(np.exp(d) for d in positives.values())
                near = sum(np.exp(-d) for d in negatives.values())
                gap = sum(np.exp(d) / far * d for d in positives.values())
                gap -= sum(np.exp(-d) / near * d for d in negatives.values())
                costs.append(np.log(1 + np.exp(gap)))
        value = float(WeightedTripletLoss(distance)(labels, embeddings))
        assert value == pytest.approx(np.mean(costs), rel=1e-4)


def test_weighted_triplet_does_not_mind_the_order():
    labels, embeddings = draw()
    order = np.random.default_rng(5).permutation(len(labels))
    loss = WeightedTripletLoss()
    value = float(loss(labels, embeddings))
    assert float(loss(labels[order] + 3000, embeddings[order])) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [1, 2, 3, 4]])
def test_weighted_triplet_without_anchors_costs_nothing(labels):
    value, gradient = value_and_gradient(WeightedTripletLoss(), labels, LINE, jit_compile=True)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(LINE))


def test_weighted_triplet_of_equal_embeddings_costs_log_2():
    value, gradient = value_and_gradient(
        WeightedTripletLoss(), PEOPLE, np.ones((4, 2)), jit_compile=True
    )
    assert value == pytest.approx(np.log(2))
    assert np.isfinite(gradient).all()


def test_weighted_triplet_refuses_an_unknown_distance():
    with pytest.raises(InputError, match="'l2'"):
        WeightedTripletLoss("l2")


@pytest.mark.parametrize(
    ("margin", "mining", "share"),
    # All gaps: -1, -5, 1, -3, 1, 3, -3, -1: three above -0.5, five above -1.5.
    [(0.5, "batch_all", 3 / 8), (1.5, "batch_all", 5 / 8), (0.5, "batch_hard", 2 / 4)],
)
def test_active_share_worked_by_hand(margin, mining, share):
    metric = ActiveShare(margin, mining, "euclidean")
    metric.update_state(PEOPLE, LINE)
    assert float(metric.result()) == pytest.approx(share)


def test_active_share_is_the_mean_over_batches_and_resets():
    metric = ActiveShare(0.3, "semi_hard", "euclidean")
    shares = []
    for rows in (9, 9, 5):
        labels, embeddings = draw(rows, people=2, seed=rows)
        metric.update_state(labels, embeddings)
        shares.append((loop_gaps(labels, embeddings, "semi_hard", "euclidean") > -0.3).mean())
    assert float(metric.result()) == pytest.approx(np.mean(shares))
    metric.reset_state()
    metric.update_state([1, 2, 3, 4], LINE)  # without a triplet
    assert float(metric.result()) == 0
