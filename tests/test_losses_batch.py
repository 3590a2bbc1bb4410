"""Tests of siamese.losses.batch."""

import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from siamese.losses.batch import has_both, logsumexp_where, mean_where, pair_masks


def test_positives_and_negatives_worked_by_hand():
    positive, negative = pair_masks(ops.convert_to_tensor([4.0, 5.0, 4.0]))
    assert ops.convert_to_numpy(positive).tolist() == [
        [False, False, True],
        [False, False, False],
        [True, False, False],
    ]
    assert ops.convert_to_numpy(negative).tolist() == [
        [False, True, False],
        [True, False, True],
        [False, True, False],
    ]
    assert ops.convert_to_numpy(has_both(positive, negative)).tolist() == [True, False, True]


def test_mean_is_over_the_mask_and_zero_without_one():
    values = ops.convert_to_tensor([1.0, 2.0, np.nan])
    assert float(mean_where(values, ops.convert_to_tensor([True, True, False]))[0]) == 1.5
    assert float(mean_where(values, ops.convert_to_tensor([False] * 3))[0]) == 0


def test_log_of_a_sum_is_over_the_mask_with_finite_gradients_without_one():
    rows = np.log([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]])
    mask = ops.convert_to_tensor([[True, False, True], [False] * 3])
    sums = ops.convert_to_numpy(logsumexp_where(ops.convert_to_tensor(rows, "float32"), mask))
    assert sums[0] == pytest.approx(np.log(5))
    assert np.exp(sums[1]) == 0
    _, gradient = value_and_gradient(
        lambda mask, rows: ops.sum(ops.exp(logsumexp_where(rows, mask))),
        mask,
        rows,
        jit_compile=True,
    )
    np.testing.assert_allclose(gradient, [[1, 0, 4], [0, 0, 0]], rtol=1e-5)
