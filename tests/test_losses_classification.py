"""Tests of siamese.losses.classification."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from siamese.errors import InputError
from siamese.losses import (
    ArcFaceLoss,
    CentreDistances,
    CentreLoss,
    CosFaceLoss,
    CosineClassifier,
    IdentityLoss,
)

LOSSES = (IdentityLoss(), ArcFaceLoss(scale=4), CosFaceLoss(scale=4), CentreLoss())
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def draw(rows: int = 6, classes: int = 5):
    random = np.random.default_rng(rows)
    scores = random.uniform(-1, 1, (rows, classes)).astype(np.float32)
    return random.integers(0, classes, rows), scores


def loop(labels, logits, targets_of):
    """Cross-entropy, one row and one class after the other."""
    costs = []
    for label, row in zip(labels, logits.astype(np.float64), strict=True):
        log_total = np.log(sum(np.exp(logit) for logit in row))
        costs.append(sum(t * (log_total - x) for t, x in zip(targets_of(label), row, strict=True)))
    return np.mean(costs)


def test_identity_worked_by_hand():
    # Softmax of log 1, log 2, log 5 is 1/8, 2/8, 5/8. Smoothing 0.3 over three people: 0.8, 0.1,
    # 0.1 with the second person right at 0.8.
    logits = np.log([[1.0, 2.0, 5.0]])
    plain = float(IdentityLoss(label_smoothing=0)([1], logits))
    assert plain == pytest.approx(-np.log(2 / 8), rel=1e-5)
    smooth = -(0.1 * np.log(1 / 8) + 0.8 * np.log(2 / 8) + 0.1 * np.log(5 / 8))
    assert float(IdentityLoss(label_smoothing=0.3)([1], logits)) == pytest.approx(smooth, rel=1e-5)


def test_identity_equals_a_slow_loop():
    labels, logits = draw()

    def smoothed(label):
        return [0.9 + 0.1 / 5 if c == label else 0.1 / 5 for c in range(5)]

    assert float(IdentityLoss()(labels, logits)) == pytest.approx(
        loop(labels, logits, smoothed), rel=1e-5
    )


def test_arc_face_worked_by_hand():
    # 60 degrees to the right person, plus 30: cos 90 = 0. The other at 0.5. Scale 2.
    value = float(ArcFaceLoss(margin=np.pi / 6, scale=2)([0], np.array([[0.5, 0.5]])))
    assert value == pytest.approx(np.log(np.exp(0) + np.exp(1)), rel=1e-5)


def test_arc_face_equals_a_slow_loop():
    labels, cosines = draw()
    logits = cosines.astype(np.float64)
    for row, label in enumerate(labels):
        angle = np.arccos(logits[row, label])
        moved = np.cos(angle + 0.4)
        if angle + 0.4 > np.pi:
            moved = logits[row, label] - 0.4 * np.sin(0.4)
        logits[row, label] = moved
    expected = loop(labels, 8 * logits, lambda label: np.eye(5)[label])
    assert float(ArcFaceLoss(0.4, 8)(labels, cosines)) == pytest.approx(expected, rel=1e-4)


def test_arc_face_never_rewards_a_larger_angle():
    # With the plain cos(t + margin) the loss would fall again beyond 180 degrees less the margin.
    angles = np.linspace(0, np.pi, 60)
    loss = ArcFaceLoss(margin=1, scale=4)
    values = [float(loss([0], np.array([[np.cos(angle), 0]]))) for angle in angles]
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("cosine", [-1.0, 1.0, 1.0000001, -1.0000001])
def test_arc_face_has_finite_gradients_at_the_ends(cosine):
    value, gradient = value_and_gradient(ArcFaceLoss(), [0], [[cosine, 0.2]], jit_compile=True)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_cos_face_worked_by_hand():
    # 0.75 - 0.25 = 0.5 for the right person, 0.25 for the other. Scale 4: logits 2 and 1.
    value = float(CosFaceLoss(margin=0.25, scale=4)([0], np.array([[0.75, 0.25]])))
    assert value == pytest.approx(np.log(1 + np.exp(-1)), rel=1e-5)


def test_cos_face_equals_a_slow_loop():
    labels, cosines = draw()
    logits = 8 * (cosines - 0.3 * np.eye(5)[labels])
    expected = loop(labels, logits, lambda label: np.eye(5)[label])
    assert float(CosFaceLoss(0.3, 8)(labels, cosines)) == pytest.approx(expected, rel=1e-5)


def test_without_a_margin_all_are_plain_cross_entropy():
    labels, cosines = draw()
    plain = float(IdentityLoss(0)(labels, 4 * cosines))
    assert float(ArcFaceLoss(0, 4)(labels, cosines)) == pytest.approx(plain, rel=1e-5)
    assert float(CosFaceLoss(0, 4)(labels, cosines)) == pytest.approx(plain, rel=1e-6)


def test_centre_loss_worked_by_hand():
    # Centres (0, 0) and (3, 4). Embedding (3, 0) of person 1 is 16 away squared, (1, 1) of 0 is 2.
    layer = CentreDistances(2)
    layer.build((None, 2))
    layer.set_weights([np.array([[0.0, 0.0], [3.0, 4.0]])])
    distances = layer(np.array([[3.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(ops.convert_to_numpy(distances), [[9, 16], [2, 13]], rtol=1e-6)
    assert float(CentreLoss()([1, 0], distances)) == pytest.approx((16 + 2) / 2 / 2)


def test_centre_distances_equal_a_slow_loop_and_are_zero_at_a_centre():
    layer = CentreDistances(3)
    layer.build((None, 4))
    random = np.random.default_rng(0)
    centres, rows = random.normal(size=(3, 4)), random.normal(size=(5, 4))
    rows[0] = centres[1]
    layer.set_weights([centres])
    expected = [[sum((a - b) ** 2) for b in centres] for a in rows]
    distances = ops.convert_to_numpy(layer(rows))
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-6)
    assert distances.min() >= 0


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras 3.15 with NumPy 2.4
def test_training_moves_centres_to_the_means_of_their_people():
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 16)
    rows = (random.normal(size=(32, 3)) + labels[:, None] * 4).astype(np.float32)
    inputs = keras.Input((3,))
    layer = CentreDistances(2)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", CentreLoss(), jit_compile=False)
    model.optimizer.learning_rate = 0.5
    model.fit(rows, labels, batch_size=32, epochs=30, verbose=0)
    means = [rows[labels == person].mean(axis=0) for person in (0, 1)]
    np.testing.assert_allclose(layer.get_weights()[0], means, atol=1e-2)


def test_centre_distances_stay_in_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = CentreDistances(2)
        distances = layer(ops.ones((3, 4), dtype="bfloat16"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(distances.dtype) == "float32"
    assert layer.centres.dtype == "float32"


@each_loss
def test_order_of_rows_does_not_matter(loss):
    labels, scores = draw()
    order = np.random.default_rng(1).permutation(len(labels))
    value = float(loss(labels, scores))
    assert float(loss(labels[order], scores[order])) == pytest.approx(value, rel=1e-5)


@each_loss
def test_swapping_two_people_everywhere_changes_nothing(loss):
    labels, scores = draw()
    order = np.array([1, 0, 2, 3, 4])
    value = float(loss(labels, scores))
    assert float(loss(order[labels], scores[:, order])) == pytest.approx(value, rel=1e-5)


@each_loss
def test_person_3000_has_a_class_of_its_own(loss):
    scores = np.zeros((1, 3003), np.float32)
    scores[0, 3000] = 1
    value = float(loss([3000], scores))
    for neighbour in (2999, 3001):
        assert float(loss([neighbour], scores)) != pytest.approx(value, rel=1e-4)


@each_loss
@pytest.mark.parametrize("label", [-1, 5])
def test_a_person_without_a_class_gives_nan(loss, label):
    assert np.isnan(float(loss([label, 0], draw(2)[1])))


@each_loss
def test_equal_scores_and_one_row_have_finite_gradients(loss):
    for rows in (1, 4):
        value, gradient = value_and_gradient(loss, [2] * rows, np.zeros((rows, 5)))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IdentityLoss(1.0), "label_smoothing=1.0"),
        (lambda: IdentityLoss(-0.1), "label_smoothing=-0.1"),
        (lambda: ArcFaceLoss(margin=4), "radians"),
        (lambda: ArcFaceLoss(scale=0), "scale=0"),
        (lambda: CosFaceLoss(margin=-1), "margin=-1"),
        (lambda: CosFaceLoss(scale=0), "scale=0"),
        (lambda: CentreDistances(0), "classes=0"),
        (lambda: CentreDistances(2)(np.ones((2, 3, 4))), "Pool and flatten"),
        (lambda: IdentityLoss()([0, 1], np.ones((3, 4))), "2 labels and 3 rows"),
        (lambda: CentreLoss()([0, 1], np.ones(2)), "one output a person"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_cosine_head_worked_by_hand():
    head = CosineClassifier(2)
    head.build((None, 2))
    head.set_weights([np.array([[5.0, 1.0], [0.0, 1.0]])])  # class vectors (5, 0) and (1, 1)
    found = ops.convert_to_numpy(head(np.array([[3.0, 4.0], [0.0, -2.0]], np.float32)))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[0.6, 1.4 * half], [0.0, -half]], atol=1e-6)


def test_cosine_head_forgets_lengths_and_serves_half_precision():
    head = CosineClassifier(3, name="identity")
    rows = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    once = ops.convert_to_numpy(head(rows))
    np.testing.assert_allclose(ops.convert_to_numpy(head(7 * rows)), once, atol=1e-6)
    assert np.abs(once).max() <= 1 + 1e-6
    head.set_weights([3 * head.get_weights()[0]])
    np.testing.assert_allclose(ops.convert_to_numpy(head(rows)), once, atol=1e-6)
    assert np.isfinite(ops.convert_to_numpy(head(0 * rows))).all()
    half = head(ops.cast(rows, "bfloat16"))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    again = CosineClassifier.from_config(head.get_config())
    assert (again.classes, again.name) == (3, "identity")
    with pytest.raises(InputError, match="`classes` must be >= 1"):
        CosineClassifier(0)
