"""Tests of siamese.losses.clusters."""

import keras
import numpy as np
import pytest
from gradients import value_and_gradient

from siamese.errors import InputError
from siamese.losses import ClusterMemory, CosFaceLoss
from siamese.losses.clusters import EMPTY


def memory_of(centres, momentum=0.1):
    memory = ClusterMemory(len(centres), momentum)
    memory.build([(None, len(centres[0])), (None,)])
    memory.centres.assign(np.float32(centres))
    return memory


def cost(memory, rows, labels, temperature):
    cosines = memory([np.float32(rows), np.int32(labels)])
    return CosFaceLoss(margin=0, scale=1 / temperature)(labels, cosines)


def draw(rows=7, clusters=5, dimensions=4):
    random = np.random.default_rng(0)
    vectors = random.standard_normal((rows + clusters, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:rows], vectors[rows:], random.integers(0, clusters - 1, rows)


def test_loss_worked_by_hand():
    # Cosines 0.6 and 0.8 at a temperature of 0.2: logits 3 and 4, the right one the first.
    memory = memory_of([[1, 0], [0, 1]])
    assert float(cost(memory, [[0.6, 0.8]], [0], 0.2)) == pytest.approx(np.log1p(np.e), rel=1e-5)


def test_loss_equals_a_slow_loop():
    rows, centres, labels = draw()
    costs = []
    for row, label in zip(rows, labels, strict=True):
        total = sum(np.exp(row @ centre / 0.05) for centre in centres)
        costs.append(np.log(total) - row @ centres[label] / 0.05)
    found = float(cost(memory_of(centres), rows, labels, 0.05))
    assert found == pytest.approx(np.mean(costs), rel=1e-4)


def test_centres_move_in_training_alone():
    # Two crops of the first cluster, mean (0.8, 0.3): 0.25 x (1, 0) + 0.75 x (0.8, 0.3) is
    # (0.85, 0.225), and back to length 1. The second cluster is not in the batch.
    memory = memory_of([[1, 0], [0, 1]], momentum=0.25)
    rows, labels = np.float32([[1, 0], [0.6, 0.6]]), np.int32([0, 0])
    before = keras.ops.convert_to_numpy(memory([rows, labels], training=False))
    assert keras.ops.convert_to_numpy(memory.centres).tolist() == [[1, 0], [0, 1]]
    during = keras.ops.convert_to_numpy(memory([rows, labels], training=True))
    assert np.array_equal(before, during)  # by the centres as they were
    moved = np.array([0.85, 0.225]) / np.hypot(0.85, 0.225)
    assert keras.ops.convert_to_numpy(memory.centres) == pytest.approx(np.stack([moved, [0, 1]]))


def test_unused_centres_change_nothing():
    rows, centres, labels = draw()
    more = np.concatenate([centres, np.zeros((3, centres.shape[1]))])
    small, large = memory_of(centres), memory_of(more)
    assert float(cost(large, rows, labels, 0.05)) == pytest.approx(
        float(cost(small, rows, labels, 0.05))
    )
    cosines = keras.ops.convert_to_numpy(large([np.float32(rows), labels], training=True))
    assert (cosines[:, len(centres) :] == EMPTY).all()
    assert not keras.ops.convert_to_numpy(large.centres)[len(centres) :].any()


def test_gradient_draws_to_the_centre_and_is_finite_at_equal_embeddings():
    memory = memory_of([[1, 0], [0, 1]])

    def loss(labels, rows):
        return CosFaceLoss(margin=0, scale=5)(labels, memory([rows, labels]))

    value, gradient = value_and_gradient(loss, np.int32([0, 0]), [[0.6, 0.8], [0.6, 0.8]])
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert (gradient[:, 0] < 0).all()
    assert (gradient[:, 1] > 0).all()


def test_memory_survives_saving():
    config = ClusterMemory(5, momentum=0.3, name="memory").get_config()
    again = ClusterMemory.from_config(config)
    assert (again.classes, again.momentum, again.name) == (5, 0.3, "memory")
    assert again.compute_output_shape([(None, 8), (None,)]) == (None, 5)


def test_no_gradient_reaches_the_centres():
    assert not memory_of([[1, 0]]).trainable_variables


@pytest.mark.parametrize(("classes", "momentum"), [(0, 0.1), (3, -0.1), (3, 1.0)])
def test_wrong_numbers_are_refused(classes, momentum):
    with pytest.raises(InputError, match="must be"):
        ClusterMemory(classes, momentum)
