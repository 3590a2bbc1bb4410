"""Tables of numbers in MATLAB files, version 5, as MARS has them.

SciPy's reader is for trusted files: a damaged one ends the process.
"""

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_HEADER = 128
_LARGEST = 500_000_000
"""Bytes of a table; MARS's largest has 400 kB."""


def read_matrix(content: bytes, name: str) -> NDArray[np.int64]:
    """Reads a table of whole numbers by the name of the variable: `(rows, columns)`.

    The format is that of MathWorks, "MAT-File Format", chapter 1, level 5.

    Raises:
        ValueError: The content is damaged or of another version, or has no such table.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("not of MATLAB's version 5 (save -v7 writes it)")
    try:
        for kind, data in _elements(content[_HEADER:], order):
            if kind == _COMPRESSED:
                ((kind, data),) = _elements(_decompress(data), order)
            if kind != _MATRIX:
                continue
            _, dimensions, title, *parts = _elements(data, order)
            if title[1].decode("latin-1") == name:
                shape = np.frombuffer(dimensions[1], f"{order}i4").tolist()
                kind, values = parts[0]
                if kind not in _NUMBERS:
                    raise ValueError(f"{name} holds other than whole numbers")
                numbers = np.frombuffer(values, order + _NUMBERS[kind])
                if len(shape) != 2 or min(shape) < 1 or math.prod(shape) != len(numbers):
                    raise ValueError(f"{name} is no table")
                return whole_numbers(numbers.reshape(shape, order="F"), name)
    except (KeyError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"damaged ({error})") from None
    raise ValueError(f"no table {name}")


def whole_numbers(values: NDArray[np.generic], name: str) -> NDArray[np.int64]:
    """Returns a table's values as whole numbers.

    Raises:
        ValueError: They are others, or no table.
    """
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise ValueError(f"{name} is no table of numbers")
    if not (np.isfinite(values) & (values == np.rint(values))).all():
        raise ValueError(f"{name} holds other than whole numbers")
    return values.astype(np.int64)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yields the type and the content of each data element."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        start, step = place + 8, size
        if kind >> 16:  # a small element: type, size and up to four bytes in eight
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 0
        if start + size > len(data):
            raise ValueError("truncated")
        yield kind, data[start : start + size]
        # All but compressed elements fill up eight bytes.
        place += 8 + (step if kind == _COMPRESSED else -(-step // 8) * 8)


def _decompress(data: bytes) -> bytes:
    reader = zlib.decompressobj()
    content = reader.decompress(data, _LARGEST)
    if not reader.eof:
        raise ValueError("truncated, or too large")
    return content
