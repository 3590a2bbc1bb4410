"""Tests of siamese.losses.similarity."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradient

from siamese.errors import InputError
from siamese.losses import CircleLoss, InfoNCELoss, MultiSimilarityLoss

LOSSES = (InfoNCELoss(), MultiSimilarityLoss(), CircleLoss())
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def draw(rows: int = 9, people: int = 4, seed: int = 0):
    random = np.random.default_rng(seed)
    return random.integers(0, people, rows), random.normal(size=(rows, 3)).astype(np.float32)


def list_anchors(labels, embeddings):
    """Similarities of each anchor to its positives and to its negatives, by a slow loop."""
    unit = embeddings / np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    anchors = []
    for a in range(len(labels)):
        others = [b for b in range(len(labels)) if b != a]
        positives = [unit[a] @ unit[b] for b in others if labels[b] == labels[a]]
        negatives = [unit[a] @ unit[b] for b in others if labels[b] != labels[a]]
        if positives and negatives:
            anchors.append((positives, negatives))
    return anchors


def loop_info_nce(labels, embeddings, temperature):
    costs = []
    for positives, negatives in list_anchors(labels, embeddings):
        against = sum(np.exp(s / temperature) for s in negatives)
        shares = [np.exp(s / temperature) / (np.exp(s / temperature) + against) for s in positives]
        costs.append(-np.mean(np.log(shares)))
    return np.mean(costs)


def loop_multi_similarity(labels, embeddings, alpha, beta, base, epsilon):
    costs = []
    for positives, negatives in list_anchors(labels, embeddings):
        kept_positives = [s for s in positives if s < max(negatives) + epsilon]
        kept_negatives = [s for s in negatives if s > min(positives) - epsilon]
        pull = np.log(1 + sum(np.exp(-alpha * (s - base)) for s in kept_positives)) / alpha
        push = np.log(1 + sum(np.exp(beta * (s - base)) for s in kept_negatives)) / beta
        costs.append(pull + push)
    return np.mean(costs)


def loop_circle(labels, embeddings, scale, margin):
    costs = []
    for positives, negatives in list_anchors(labels, embeddings):
        pull = sum(np.exp(-scale * max(0, 1 + margin - s) * (s - 1 + margin)) for s in positives)
        push = sum(np.exp(scale * max(0, s + margin) * (s - margin)) for s in negatives)
        costs.append(np.log(1 + pull * push))
    return np.mean(costs)


# One anchor's view: rows 0 and 1 are one person, 60 degrees apart (similarity 0.5); row 2, another
# person, is at right angles to row 0 (0) and 30 degrees from row 1 (0.866). Row 2 is no anchor.
ROOT = np.sqrt(3) / 2
ANGLES = np.array([[2, 0], [0.5, ROOT], [0, 3]], np.float32)
PEOPLE = np.array([1, 1, 2])


def test_info_nce_worked_by_hand():
    first = -np.log(np.exp(0.5 / 0.5) / (np.exp(0.5 / 0.5) + np.exp(0)))
    second = -np.log(np.exp(0.5 / 0.5) / (np.exp(0.5 / 0.5) + np.exp(ROOT / 0.5)))
    value = float(InfoNCELoss(temperature=0.5)(PEOPLE, ANGLES))
    assert value == pytest.approx((first + second) / 2, rel=1e-5)


def test_multi_similarity_worked_by_hand():
    # Row 0: the positive at 0.5 is not below 0 + 0.1, the negative at 0 not above 0.5 - 0.1:
    # neither is kept. Row 1: both are.
    second = np.log(1 + np.exp(-2 * (0.5 - 0.6))) / 2 + np.log(1 + np.exp(10 * (ROOT - 0.6))) / 10
    value = float(MultiSimilarityLoss(alpha=2, beta=10, base=0.6)(PEOPLE, ANGLES))
    assert value == pytest.approx((0 + second) / 2, rel=1e-5)


def test_circle_worked_by_hand():
    # Margin 0.25: w_p = 0.75 at 0.5 and the positive's exponent is -4 * 0.75 * (0.5 - 0.75).
    pull = np.exp(4 * 0.75 * 0.25)
    first = np.log(1 + pull * np.exp(4 * 0.25 * (0 - 0.25)))
    second = np.log(1 + pull * np.exp(4 * (ROOT + 0.25) * (ROOT - 0.25)))
    value = float(CircleLoss(scale=4)(PEOPLE, ANGLES))
    assert value == pytest.approx((first + second) / 2, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_losses_equal_slow_loops(seed):
    labels, embeddings = draw(seed=seed)
    assert float(InfoNCELoss(0.2)(labels, embeddings)) == pytest.approx(
        loop_info_nce(labels, embeddings, 0.2), rel=1e-4
    )
    assert float(MultiSimilarityLoss(3, 20, 0.4, 0.3)(labels, embeddings)) == pytest.approx(
        loop_multi_similarity(labels, embeddings, 3, 20, 0.4, 0.3), rel=1e-4
    )
    assert float(CircleLoss(16, 0.3)(labels, embeddings)) == pytest.approx(
        loop_circle(labels, embeddings, 16, 0.3), rel=1e-4
    )


def test_circle_has_the_value_of_keras_circle_on_unit_embeddings():
    labels = np.array([0, 0, 1, 1, 2, 2, 2])
    embeddings = np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    theirs = keras.losses.Circle(gamma=32, margin=0.25, remove_diagonal=True)
    assert float(CircleLoss(32, 0.25)(labels, embeddings)) == pytest.approx(
        float(theirs(labels, embeddings)), rel=1e-4
    )


def test_circle_weights_are_constants_of_the_gradient():
    # A shift of the weights alone must not act: compare with central differences of the loss in
    # which the weights are frozen at the point.
    labels, embeddings = draw(5, people=2, seed=1)
    unit = embeddings.astype(np.float64)

    def frozen(rows):
        def cosines(x):
            x = x / np.linalg.norm(x, axis=1, keepdims=True)
            return x @ x.T

        weights, now, costs = cosines(unit), cosines(rows), []
        for a in range(5):
            pull = [
                -8 * (1.25 - weights[a, b]) * (now[a, b] - 0.75)
                for b in range(5)
                if b != a and labels[a] == labels[b]
            ]
            push = [
                8 * max(0, weights[a, b] + 0.25) * (now[a, b] - 0.25)
                for b in range(5)
                if labels[a] != labels[b]
            ]
            if pull and push:
                costs.append(np.log(1 + np.exp(pull).sum() * np.exp(push).sum()))
        return np.mean(costs)

    expected = np.zeros_like(unit)
    for index in np.ndindex(unit.shape):
        step = np.zeros_like(unit)
        step[index] = 1e-5
        expected[index] = (frozen(unit + step) - frozen(unit - step)) / 2e-5
    _, gradient = value_and_gradient(CircleLoss(8, 0.25), labels, embeddings)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


@each_loss
def test_order_names_and_lengths_do_not_matter(loss):
    labels, embeddings = draw()
    order = np.random.default_rng(5).permutation(len(labels))
    lengths = np.random.default_rng(6).uniform(0.1, 9, (len(labels), 1)).astype(np.float32)
    renamed = np.array([3001, 3000, 0, 750])[labels]
    value = float(loss(labels, embeddings))
    changed = float(loss(renamed[order], (embeddings * lengths)[order]))
    assert changed == pytest.approx(value, rel=1e-4)


@each_loss
def test_a_far_one_image_person_is_a_negative_but_no_anchor(loss):
    labels, embeddings = np.append(PEOPLE, 3), np.append(ANGLES, [[-1.0, 0.0]], axis=0)
    anchors = list_anchors(labels, embeddings)
    assert [len(negatives) for _, negatives in anchors] == [2, 2]
    loops = {
        "info_nce_loss": lambda: loop_info_nce(labels, embeddings, 0.1),
        "multi_similarity_loss": lambda: loop_multi_similarity(labels, embeddings, 2, 50, 0.5, 0.1),
        "circle_loss": lambda: loop_circle(labels, embeddings, 128, 0.25),
    }
    assert float(loss(labels, embeddings)) == pytest.approx(loops[loss.name](), rel=1e-4)


@each_loss
@pytest.mark.parametrize(
    "labels",
    [[1, 1, 1], [1, 2, 3], [7]],
    ids=["no negative", "no positive", "one row"],
)
def test_a_batch_without_anchors_costs_nothing(loss, labels):
    embeddings = ANGLES[: len(labels)]
    value, gradient = value_and_gradient(loss, labels, embeddings, jit_compile=True)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros_like(embeddings))


@each_loss
@pytest.mark.parametrize("number", [0, 1], ids=["zeros", "ones"])
def test_equal_embeddings_have_finite_values_and_gradients(loss, number):
    embeddings = np.full((6, 4), number, np.float32)
    value, gradient = value_and_gradient(loss, [1, 1, 2, 2, 3, 3], embeddings, jit_compile=True)
    assert np.isfinite(value)
    assert value > 0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InfoNCELoss(temperature=0), "temperature=0"),
        (lambda: MultiSimilarityLoss(alpha=0), "alpha=0"),
        (lambda: MultiSimilarityLoss(beta=-1), "beta=-1"),
        (lambda: MultiSimilarityLoss(epsilon=-1), "epsilon=-1"),
        (lambda: CircleLoss(scale=0), "scale=0"),
        (lambda: CircleLoss(margin=-1), "margin=-1"),
    ],
)
def test_arguments_out_of_range_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()
