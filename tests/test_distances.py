"""Tests of siamese.distances."""

import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from siamese.distances import pairwise_distances, row_distances
from siamese.errors import InputError
from siamese.metrics.blocks import distance_blocks, exact_distances, pair_distances

KINDS = ("euclidean", "squared_euclidean", "cosine")


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def as_numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(tensor)


def test_distances_worked_by_hand():
    rows = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    columns = np.array([[0.0, 0.0], [6.0, 8.0], [-4.0, 3.0]], np.float32)
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows, columns)),
        [[5, 5, np.sqrt(50)], [2, np.sqrt(72), np.sqrt(17)]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows, columns, "squared_euclidean")),
        [[25, 25, 50], [4, 72, 17]],
        rtol=1e-6,
    )
    # The column of zeros has no direction: 1. (3, 4) and (6, 8) point the same way: 0.
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows, columns, "cosine")),
        [[1, 0, 1], [1, 1 - 0.8, 1 - 0.6]],
        atol=1e-6,
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_training_and_scores_measure_alike(metric):
    rows, columns = draw(6, 16), draw(9, 16)
    columns[4] = 0
    trained = as_numpy(pairwise_distances(rows, columns, metric))
    ((_, scored),) = distance_blocks(rows, columns, metric=metric)
    np.testing.assert_allclose(scored, trained, atol=1e-5)
    first, second = np.divmod(np.arange(54), 9)
    table = np.concatenate([rows, columns])
    pairs = pair_distances(table, first, 6 + second, metric=metric)
    np.testing.assert_allclose(pairs.reshape(6, 9), trained, atol=1e-5)
    if metric == "euclidean":
        exact = exact_distances(rows[:, None], columns)
        np.testing.assert_allclose(exact, trained, rtol=1e-5)
        squared = pair_distances(table, first, 6 + second, squared=True)
        np.testing.assert_allclose(
            squared.reshape(6, 9),
            as_numpy(pairwise_distances(rows, columns, "squared_euclidean")),
            rtol=1e-5,
        )
        assert exact_distances(rows, rows).tolist() == [0] * 6


@pytest.mark.parametrize("distance", KINDS)
def test_pairs_equal_a_slow_loop(distance):
    rows, columns = draw(5, 7), draw(3, 7)
    expected = np.empty((5, 3))
    for i, row in enumerate(rows.astype(np.float64)):
        for j, column in enumerate(columns.astype(np.float64)):
            if distance == "cosine":
                lengths = np.linalg.norm(row) * np.linalg.norm(column)
                expected[i, j] = 1 - row @ column / lengths
            else:
                length = np.linalg.norm(row - column)
                expected[i, j] = length if distance == "euclidean" else length**2
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows, columns, distance)), expected, rtol=1e-5
    )


@pytest.mark.parametrize("distance", KINDS)
def test_row_by_row_is_the_diagonal_of_all_pairs(distance):
    first, second = draw(6, 4), draw(6, 4)[::-1]
    np.testing.assert_allclose(
        as_numpy(row_distances(first, second, distance)),
        np.diagonal(as_numpy(pairwise_distances(first, second, distance))),
        rtol=1e-6,
    )


@pytest.mark.parametrize("distance", KINDS)
def test_order_of_rows_does_not_matter(distance):
    rows = draw(6, 4)
    order = [3, 0, 5, 1, 4, 2]
    distances = as_numpy(pairwise_distances(rows, distance=distance))
    np.testing.assert_array_equal(distances, distances.T)
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows[order], distance=distance)),
        distances[order][:, order],
        rtol=1e-6,
        atol=1e-7,
    )


def test_euclidean_is_unmoved_by_a_shift_and_cosine_by_a_scale():
    rows = draw(6, 4)
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows + 3)), as_numpy(pairwise_distances(rows)), atol=1e-5
    )
    np.testing.assert_allclose(
        as_numpy(pairwise_distances(rows * 7, distance="cosine")),
        as_numpy(pairwise_distances(rows, distance="cosine")),
        atol=1e-6,
    )


@pytest.mark.parametrize("distance", KINDS)
def test_equal_embeddings_are_at_zero_with_zero_gradient(distance):
    rows = np.repeat(draw(1, 64) * 30, 5, axis=0)
    value, gradient = value_and_gradient(
        lambda _, rows: ops.sum(pairwise_distances(rows, distance=distance)),
        0,
        rows,
        jit_compile=True,
    )
    if distance == "cosine":
        assert value == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(gradient, np.zeros_like(rows), atol=1e-6)
    else:
        assert value == 0
        np.testing.assert_array_equal(gradient, np.zeros_like(rows))


@pytest.mark.parametrize("distance", KINDS)
def test_embeddings_of_zeros_have_finite_gradients(distance):
    rows = np.concatenate([np.zeros((2, 4), np.float32), draw(2, 4)])
    _, gradient = value_and_gradient(
        lambda _, rows: ops.sum(pairwise_distances(rows, distance=distance)),
        0,
        rows,
        jit_compile=True,
    )
    assert np.isfinite(gradient).all()


def test_gradient_points_away_from_the_other_embedding():
    _, gradient = value_and_gradient(
        lambda _, rows: ops.sum(row_distances(rows[:1], rows[1:])), 0, [[3.0, 4.0], [0.0, 0.0]]
    )
    np.testing.assert_allclose(gradient, [[0.6, 0.8], [-0.6, -0.8]], rtol=1e-6)


def test_small_differences_of_large_embeddings_survive():
    # ||a||^2 + ||b||^2 - 2 a.b in float32 answers 0 or 0.06 here.
    rows = np.full((2, 512), 3.0, np.float32)
    rows[1, 0] += 0.01
    assert as_numpy(pairwise_distances(rows))[0, 1] == pytest.approx(0.01, rel=1e-3)


def test_half_precision_is_computed_in_float32():
    rows = ops.cast(draw(4, 32), "bfloat16")
    distances = pairwise_distances(rows)
    assert str(as_numpy(distances).dtype) == "float32"
    np.testing.assert_array_equal(
        as_numpy(distances), as_numpy(pairwise_distances(ops.cast(rows, "float32")))
    )


@pytest.mark.parametrize("measure", [pairwise_distances, row_distances])
def test_double_precision_meets_single(measure):
    single, double = draw(3, 8), draw(3, 8).astype(np.float64)
    assert as_numpy(measure(double, double)).dtype == np.float64
    for first, second in ((double, single), (single, double)):
        found = as_numpy(measure(first, second))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, as_numpy(measure(single, single)))


def test_one_row_is_a_matrix_of_one():
    assert as_numpy(pairwise_distances(draw(1, 4))).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (np.ones(3), None, "one embedding a row"),
        (np.ones((2, 3)), np.ones((2, 4)), "one embedding a row"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(rows, columns, message):
    with pytest.raises(InputError, match=message):
        pairwise_distances(rows, columns)


def test_row_by_row_wants_as_many_rows():
    with pytest.raises(InputError, match="as many rows"):
        row_distances(np.ones((2, 3)), np.ones((4, 3)))


def test_an_unknown_distance_is_refused():
    with pytest.raises(InputError, match="'manhattan'"):
        pairwise_distances(np.ones((2, 3)), distance="manhattan")
    with pytest.raises(InputError, match="'manhattan'"):
        row_distances(np.ones((2, 3)), np.ones((2, 3)), "manhattan")
