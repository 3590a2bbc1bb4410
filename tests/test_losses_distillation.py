"""Tests of siamese.losses.distillation."""

import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from siamese.errors import InputError
from siamese.losses import (
    EmbeddingDistillationLoss,
    RelationalDistillationLoss,
    SimilarityPreservingLoss,
)

LOSSES = (EmbeddingDistillationLoss(), RelationalDistillationLoss(), SimilarityPreservingLoss())
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
on_relations = pytest.mark.parametrize("loss", LOSSES[1:], ids=lambda loss: loss.name)


def draw(rows: int = 7, teacher: int = 4, student: int = 4, seed: int = 0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(rows, size)).astype(np.float32) for size in (teacher, student)]


def loop_embeddings(teacher, student):
    costs = []
    for one, other in zip(teacher.astype(np.float64), student.astype(np.float64), strict=True):
        costs.append(1 - one @ other / np.sqrt(one @ one) / np.sqrt(other @ other))
    return np.mean(costs)


def loop_relations(teacher, student):
    def proportions(rows):
        found = {
            (i, j): np.sqrt(sum((rows[i] - rows[j]) ** 2))
            for i in range(len(rows))
            for j in range(len(rows))
            if i != j
        }
        mean = sum(found.values()) / len(found)
        return {pair: distance / mean for pair, distance in found.items()}

    one, other = proportions(teacher.astype(np.float64)), proportions(student.astype(np.float64))
    costs = []
    for pair in one:
        gap = abs(one[pair] - other[pair])
        costs.append(gap * gap / 2 if gap <= 1 else gap - 0.5)
    return np.mean(costs)


def loop_similarities(teacher, student):
    def profiles(rows):
        gram = [[float(a @ b) for b in rows] for a in rows]
        return [[s / np.sqrt(sum(x * x for x in row)) for s in row] for row in gram]

    one, other = profiles(teacher.astype(np.float64)), profiles(student.astype(np.float64))
    total = 0.0
    for row, against in zip(one, other, strict=True):
        total += sum((a - b) ** 2 for a, b in zip(row, against, strict=True))
    return total / len(teacher) ** 2


LOOPS = dict(
    zip(
        (loss.name for loss in LOSSES),
        (loop_embeddings, loop_relations, loop_similarities),
        strict=True,
    )
)


def test_embeddings_worked_by_hand():
    # The same direction, a right angle, the opposite direction: 0, 1, 2; then 60 degrees: 0.5.
    teacher = np.array([[3, 0], [1, 0], [0, 2], [1, 0]], np.float32)
    student = np.array([[5, 0], [0, 9], [0, -1], [1, np.sqrt(3)]], np.float32)
    costs = ops.convert_to_numpy(EmbeddingDistillationLoss().call(teacher, student))
    np.testing.assert_allclose(costs, [0, 1, 2, 0.5], atol=1e-6)
    assert float(EmbeddingDistillationLoss()(teacher, student)) == pytest.approx(3.5 / 4)


def test_relations_worked_by_hand():
    # Distances of the teacher 3, 4, 5, mean 4: proportions 0.75, 1, 1.25. The student lies on a
    # line at 0, 1 and 7: 1, 7, 6 over 14 / 3. All gaps are below 1, so half of their squares.
    teacher = np.array([[0, 0], [3, 0], [0, 4]], np.float32)
    student = np.array([[0], [1], [7]], np.float32)
    gaps = np.array([0.75 - 3 / 14, 1 - 21 / 14, 1.25 - 18 / 14])
    expected = (gaps**2 / 2).mean()
    assert float(RelationalDistillationLoss()(teacher, student)) == pytest.approx(expected)


def test_large_gaps_of_relations_cost_in_proportion():
    # Four equal rows and a far one: the distances of the student are 0 (12 times) and 2.5 means
    # (8 times); of the teacher, all at the mean, 1. So gaps of 1 and of 1.5: 0.5 and 1.
    teacher = np.eye(5, dtype=np.float32)
    student = np.array([[0.0], [0.0], [0.0], [0.0], [6.0]], np.float32)
    expected = (12 * 0.5 + 8 * 1.0) / 20
    assert float(RelationalDistillationLoss()(teacher, student)) == pytest.approx(expected)


def test_similarities_worked_by_hand():
    # G of the teacher: [[1, 0], [0, 4]], rows of length 1: the identity. G of the student:
    # [[9, 12], [12, 16]], rows [0.6, 0.8] each.
    teacher = np.array([[1, 0], [0, 2]], np.float32)
    student = np.array([[3], [4]], np.float32)
    expected = (0.4**2 + 0.8**2 + 0.6**2 + 0.2**2) / 4
    assert float(SimilarityPreservingLoss()(teacher, student)) == pytest.approx(expected)


@each_loss
@pytest.mark.parametrize("seed", range(4))
def test_losses_equal_slow_loops(loss, seed):
    teacher, student = draw(seed=seed)
    assert float(loss(teacher, student)) == pytest.approx(
        LOOPS[loss.name](teacher, student), rel=1e-4
    )


@on_relations
def test_relations_compare_embeddings_of_other_dimensions(loss):
    teacher, student = draw(teacher=9, student=3)
    assert float(loss(teacher, student)) == pytest.approx(
        LOOPS[loss.name](teacher, student), rel=1e-4
    )


@each_loss
def test_order_and_scale_do_not_matter(loss):
    teacher, student = draw()
    order = np.random.default_rng(5).permutation(len(teacher))
    value = float(loss(teacher, student))
    assert float(loss(3 * teacher[order], student[order] / 5)) == pytest.approx(value, rel=1e-4)


@on_relations
def test_relations_do_not_see_a_turn(loss):
    teacher, student = draw()
    turn, _ = np.linalg.qr(np.random.default_rng(6).normal(size=(4, 4)))
    value = float(loss(teacher, student))
    assert float(loss(teacher, student @ turn.astype(np.float32))) == pytest.approx(value, rel=1e-4)
    assert float(loss(student, student @ turn.astype(np.float32))) == pytest.approx(0, abs=1e-6)


@each_loss
def test_a_student_that_equals_its_teacher_costs_nothing_and_stays(loss):
    teacher, _ = draw()
    value, gradient = value_and_gradient(loss, teacher, teacher, jit_compile=True)
    assert value == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@each_loss
def test_gradient_is_that_of_central_differences(loss):
    teacher, student = draw(rows=4)
    _, gradient = value_and_gradient(loss, teacher, student)
    expected = np.zeros(student.shape)
    for index in np.ndindex(student.shape):
        step = np.zeros(student.shape)
        step[index] = 1e-5
        loop = LOOPS[loss.name]
        there, back = (loop(teacher, student.astype(np.float64) + way) for way in (step, -step))
        expected[index] = (there - back) / 2e-5
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


@each_loss
@pytest.mark.parametrize("number", [0, 1], ids=["zeros", "ones"])
@pytest.mark.parametrize("equal", ["teacher", "student", "both"])
def test_equal_embeddings_have_finite_values_and_gradients(loss, number, equal):
    teacher, student = draw()
    teacher = np.full_like(teacher, number) if equal != "student" else teacher
    student = np.full_like(student, number) if equal != "teacher" else student
    value, gradient = value_and_gradient(loss, teacher, student, jit_compile=True)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@on_relations
def test_one_row_has_no_relations(loss):
    teacher, student = draw(rows=1)
    value, gradient = value_and_gradient(loss, teacher, student, jit_compile=True)
    assert value == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@each_loss
def test_other_images_for_the_teacher_are_refused(loss):
    teacher, student = draw()
    with pytest.raises(InputError, match=r"as many rows as each other|the same images"):
        loss(teacher[:5], student)


def test_embeddings_of_other_dimensions_are_refused():
    teacher, student = draw(teacher=9, student=3)
    with pytest.raises(InputError, match="the same width"):
        EmbeddingDistillationLoss()(teacher, student)


@on_relations
def test_labels_are_no_teacher(loss):
    with pytest.raises(InputError, match="one embedding a row each"):
        loss(np.arange(7), draw()[1])
