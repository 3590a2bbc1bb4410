"""PyTorch weights files in their two forms, written without PyTorch."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
NOTHING = b"ccollections\nOrderedDict\n)R"


def pickled(value: Any) -> bytes:
    """The operations that put a number, a text, a truth or a tuple of them on the stack."""
    if isinstance(value, tuple):
        return b"(" + b"".join(map(pickled, value)) + b"t"
    if isinstance(value, bytes):
        return value
    return pickle.dumps(value, 2)[2:-1]


def tensor(
    key: str,
    size: Any,
    shape: Any,
    *,
    strides: Any = None,
    offset: Any = 0,
    kind: str = "FloatStorage",
    rebuild: bytes = REBUILD,
) -> bytes:
    """The operations that describe a tensor of a storage, as PyTorch writes them."""
    strides = (
        tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        if strides is None
        else strides
    )
    storage = ("storage", f"ctorch\n{kind}\n".encode(), key, "cpu", size)
    return (
        rebuild + pickled((pickled(storage) + b"Q", offset, shape, strides, False, NOTHING)) + b"R"
    )


def state(entries: Mapping[str, bytes]) -> bytes:
    """The pickle of a dictionary with the notes that PyTorch hangs on it."""
    items = b"".join(pickled(name) + value for name, value in entries.items())
    return b"\x80\x02" + NOTHING + b"(" + items + b"u" + pickled({"_metadata": {}}) + b"b."


def write_archive(
    path: Path, described: bytes, storages: Mapping[str, bytes], **options: Any
) -> Path:
    """The form since version 1.6."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", described)
        archive.writestr("archive/byteorder", "little")
        for key, raw in storages.items():
            archive.writestr(f"archive/data/{key}", raw)
        archive.writestr("archive/version", "3\n")
    return path


def write_pickles(
    path: Path, described: bytes, storages: Mapping[str, bytes], itemsize: int = 4
) -> Path:
    """The form before it, in which the packages with ImageNet weights are."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, system)]
    raw = [struct.pack("<q", len(each) // itemsize) + each for each in storages.values()]
    path.write_bytes(b"".join([*head, described, pickle.dumps(list(storages), 2), *raw]))
    return path


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], *, archive: bool = False
) -> Path:
    """A whole `state_dict` of float32."""
    arrays = {name: np.ascontiguousarray(each, "<f4") for name, each in tensors.items()}
    entries = {name: tensor(name, each.size, each.shape) for name, each in arrays.items()}
    raw = {name: each.tobytes() for name, each in arrays.items()}
    return (write_archive if archive else write_pickles)(path, state(entries), raw)
