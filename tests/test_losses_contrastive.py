"""Tests of siamese.losses.contrastive."""

import numpy as np
import pytest
from gradients import value_and_gradient

from siamese.errors import InputError
from siamese.losses import ContrastiveLoss, SameDifferentLoss


def draw(rows: int, dimensions: int = 4, people: int = 3, seed: int = 0):
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(rows, dimensions)).astype(np.float32) / 2
    return random.integers(0, people, rows), embeddings


def loop(labels, embeddings, pairs, margin):
    """Contrastive loss, one pair after the other."""
    costs = []
    for i, j in pairs:
        distance = np.linalg.norm(embeddings[i].astype(np.float64) - embeddings[j])
        same = labels[i] == labels[j]
        costs.append(distance**2 if same else max(0, margin - distance) ** 2)
    return np.mean(costs)


def test_consecutive_pairs_worked_by_hand():
    # Same at 5: 25. Different at 0.6 with margin 1: 0.16. Different at 2: nothing.
    embeddings = np.array([[0, 0], [3, 4], [0, 0], [0.6, 0], [0, 0], [0, 2]], np.float32)
    labels = np.array([7, 7, 7, 8, 1, 2])
    assert float(ContrastiveLoss()(labels, embeddings)) == pytest.approx((25 + 0.16) / 3)


def test_all_pairs_worked_by_hand():
    # On a line at 0, 1 and 3; the first two are one person, margin 4:
    # 0-1 same: 1. 0-3 different: (4 - 3)^2. 1-3 different: (4 - 2)^2.
    embeddings = np.array([[0.0], [1.0], [3.0]], np.float32)
    loss = ContrastiveLoss(margin=4, pairs="all")
    assert float(loss([5, 5, 6], embeddings)) == pytest.approx((1 + 1 + 4) / 3)


def test_cosine_pairs_worked_by_hand():
    # Same at right angles: distance 1. Different at 60 degrees: 0.5, margin 0.7.
    embeddings = np.array([[2, 0], [0, 1], [1, 0], [1, np.sqrt(3)]], np.float32)
    loss = ContrastiveLoss(margin=0.7, distance="cosine")
    assert float(loss([0, 0, 0, 1], embeddings)) == pytest.approx((1 + 0.04) / 2, abs=1e-6)


def test_both_kinds_of_pairs_equal_a_slow_loop():
    labels, embeddings = draw(10)
    consecutive = [(2 * i, 2 * i + 1) for i in range(5)]
    every = [(i, j) for i in range(10) for j in range(i)]
    for pairs, indices in (("consecutive", consecutive), ("all", every)):
        value = float(ContrastiveLoss(margin=1.5, pairs=pairs)(labels, embeddings))
        assert value == pytest.approx(loop(labels, embeddings, indices, 1.5), rel=1e-5)


def test_swapping_the_images_of_a_pair_changes_nothing():
    labels, embeddings = draw(10)
    swapped = np.arange(10).reshape(5, 2)[::-1, ::-1].ravel()
    loss = ContrastiveLoss()
    assert float(loss(labels, embeddings)) == pytest.approx(
        float(loss(labels[swapped], embeddings[swapped])), rel=1e-6
    )


def test_renaming_people_changes_nothing():
    labels, embeddings = draw(10)
    loss = ContrastiveLoss(pairs="all")
    renamed = np.array([3000, 17, 3001])[labels]
    assert float(loss(labels, embeddings)) == float(loss(renamed, embeddings))


@pytest.mark.parametrize("pairs", ["consecutive", "all"])
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine"])
def test_equal_embeddings_have_finite_gradients(pairs, distance):
    embeddings = np.ones((6, 4), np.float32)
    loss = ContrastiveLoss(margin=1, distance=distance, pairs=pairs)
    value, gradient = value_and_gradient(loss, [0, 0, 1, 2, 3, 3], embeddings, jit_compile=True)
    # Two different people at the same place cost margin^2; the same person costs nothing.
    different = 1 / 3 if pairs == "consecutive" else 13 / 15
    assert value == pytest.approx(different)
    assert np.isfinite(gradient).all()


def test_gradient_pulls_the_same_and_pushes_the_different():
    embeddings = np.array([[0.0], [0.5], [0.0], [0.5]], np.float32)
    _, gradient = value_and_gradient(ContrastiveLoss(), [1, 1, 1, 2], embeddings)
    # d/dx of x^2 / 2 at 0.5 is 0.5; of (1 - x)^2 / 2 it is -0.5.
    np.testing.assert_allclose(gradient.ravel(), [-0.5, 0.5, 0.5, -0.5], rtol=1e-6)


def test_one_row_has_no_pair_and_costs_nothing():
    value, gradient = value_and_gradient(ContrastiveLoss(pairs="all"), [3], [[1.0, 2.0]])
    assert value == 0
    np.testing.assert_array_equal(gradient, [[0, 0]])


def test_labels_may_be_a_column():
    labels, embeddings = draw(6)
    loss = ContrastiveLoss()
    assert float(loss(labels[:, None], embeddings)) == float(loss(labels, embeddings))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": -1}, "`margin` must be >= 0. Received: margin=-1"),
        ({"margin": float("nan")}, "margin=nan"),
        ({"distance": "manhattan"}, "'manhattan'"),
        ({"pairs": "random"}, "'random'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        ContrastiveLoss(**arguments)


def test_an_odd_row_is_refused():
    with pytest.raises(InputError, match=r"groups of 2\. Received: 3 rows"):
        ContrastiveLoss()([0, 0, 1], np.ones((3, 2)))


def test_one_hot_labels_are_refused():
    with pytest.raises(InputError, match="not a one-hot vector"):
        ContrastiveLoss(pairs="all")(np.eye(3), np.ones((3, 2)))


def test_same_different_worked_by_hand():
    # Same with p = 0.8: -log 0.8. Different with p = 0.25: -log 0.75.
    value = float(SameDifferentLoss()([4, 4, 4, 9], [[0.8], [0.25]]))
    assert value == pytest.approx(-(np.log(0.8) + np.log(0.75)) / 2, rel=1e-5)


def test_same_different_equals_a_slow_loop():
    labels, _ = draw(20)
    outputs = np.random.default_rng(1).uniform(0.01, 0.99, (10, 1)).astype(np.float32)
    costs = [
        -np.log(p if labels[2 * i] == labels[2 * i + 1] else 1 - p)
        for i, p in enumerate(outputs[:, 0].astype(np.float64))
    ]
    assert float(SameDifferentLoss()(labels, outputs)) == pytest.approx(np.mean(costs), rel=1e-5)


def test_same_different_does_not_mind_the_order_within_a_pair():
    outputs = [[0.8], [0.25]]
    loss = SameDifferentLoss()
    assert float(loss([4, 4, 4, 9], outputs)) == float(loss([4, 4, 9, 4], outputs))


def test_same_different_stays_finite_when_the_head_is_sure_and_wrong():
    value, gradient = value_and_gradient(SameDifferentLoss(), [1, 2, 1, 1], [[1.0], [0.0]])
    assert np.isfinite(value)
    assert value > 10
    assert np.isfinite(gradient).all()


def test_same_different_tells_people_3000_and_3001_apart():
    loss = SameDifferentLoss()
    assert float(loss([3000, 3001], [[0.1]])) == pytest.approx(-np.log(0.9), rel=1e-4)


def test_same_different_wants_two_labels_an_output():
    with pytest.raises(InputError, match="3 labels and 2 outputs"):
        SameDifferentLoss()([1, 1, 2], [[0.5], [0.5]])
