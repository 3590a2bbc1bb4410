"""`siamese.datasets.matlab` reads what SciPy writes."""

import io
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from siamese.datasets.matlab import read_matrix


def write(values: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, {"other": np.eye(3), "cell": "text", "t": np.asarray(values)}, **options)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 4), (1, 7)])
def test_tables_of_every_kind(shape: tuple[int, int], kind: str, compressed: bool) -> None:
    table = np.arange(shape[0] * shape[1]).reshape(shape).astype(kind)
    found = read_matrix(write(table, do_compression=compressed), "t")
    np.testing.assert_array_equal(found, table)
    assert found.dtype == np.int64


def test_negative_and_large_numbers() -> None:
    table = [[-1, 2**40], [0, -(2**40)]]
    np.testing.assert_array_equal(read_matrix(write(np.array(table, np.int64)), "t"), table)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "version 5"),
        (b"\x89HDF\r\n" + bytes(300), "version 5"),
        (write([[1, 2]])[:-9], "truncated"),
        (write([[1, 2]], do_compression=True)[:-3], "truncated"),
        (write([[0.5, 2]]), "whole"),
        (write([[np.nan, 2]]), "whole"),
        (write(np.zeros((2, 2, 2))), "no table"),
        (write(np.array([["one", [2]]], dtype=object)), "whole"),
    ],
)
def test_others_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_matrix(content, "t")


def test_a_missing_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no table track"):
        read_matrix(write([[1, 2]]), "track")
