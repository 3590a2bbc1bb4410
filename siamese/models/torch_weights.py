"""Tensors of a PyTorch weights file, without PyTorch and without running what the file names."""

import io
import math
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siamese.errors import InputError, brief

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two pickles of a file of the older form."""
STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
}
MAX_OPERATIONS = 50_000
"""Of one pickle; EfficientNet-Lite2's has 13,931. So a small file can neither ask for much memory
nor nest so deep that Python crashes."""


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Dictionary(dict[Any, Any]):
    """In place of an OrderedDict."""

    def __setstate__(self, state: object) -> None:
        """Leaves out what PyTorch notes beside the tensors: versions of its modules."""


class _TensorUnpickler(pickle.Unpickler):
    """Makes descriptions of tensors, and dictionaries of them."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Dictionary
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._describe
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, size = pid[:5]
        written = dtype in STORAGES.values() and pid[5:] in ((), (None,))
        if not (written and isinstance(key, str) and _are_counts(size)):
            raise pickle.UnpicklingError("it refers to something else than a storage")
        return _Storage(key, dtype, size)

    def _describe(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        if not isinstance(storage, _Storage) or not _are_counts(offset, *shape, *strides):
            raise pickle.UnpicklingError("it has a tensor of other things than a storage's numbers")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Reads the tensors of a PyTorch weights file, a saved `state_dict`.

    Both forms are read: a zip archive of a pickle and raw tensors, and the older form, five pickles
    with raw tensors after them. What PyTorch's tensors are made of is known here by name; a file
    that names anything else is refused, and nothing is imported or called for it.

    Args:
        path: A `.pth` file.

    Returns:
        Read-only arrays by name; float16, float32, float64 or int64.

    Raises:
        InputError: The file is damaged, names anything else, or holds anything but tensors.
    """
    content = path.read_bytes()
    try:
        archived = zipfile.is_zipfile(io.BytesIO(content))
        tensors, storages = _read_archive(content) if archived else _read_pickles(content)
        return {name: _view(each, storages[each.storage]) for name, each in tensors.items()}
    except Exception as error:  # a damaged pickle or archive raises anything
        raise InputError(
            f"{path}: is no PyTorch weights file that holds tensors alone ({brief(error)}); "
            "nothing of it was run. Give a state_dict written by torch.save, or --weights none"
        ) from None


def _read_archive(content: bytes) -> tuple[dict[str, _Tensor], dict[_Storage, NDArray[Any]]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its entries are compressed or overlap")
        folder = entries[0].filename.split("/")[0]
        if f"{folder}/byteorder" in archive.namelist():
            _expect("byte order", b"little", archive.read(f"{folder}/byteorder"))
        tensors, _ = _unpickle(archive.read(f"{folder}/data.pkl"), 0)
        storages = {}
        for storage in _storages_of(tensors):
            raw = archive.read(f"{folder}/data/{storage.key}")
            storages[storage] = np.frombuffer(raw, storage.dtype)
            _expect(f"size of storage {storage.key}", storage.size, storages[storage].size)
    return tensors, storages


def _read_pickles(content: bytes) -> tuple[dict[str, _Tensor], dict[_Storage, NDArray[Any]]]:
    parts, at = [], 0
    for _ in range(5):
        part, at = _unpickle(content, at)
        parts.append(part)
    magic, protocol, system, tensors, keys = parts
    _expect("version", (MAGIC, PROTOCOL), (magic, protocol))
    _expect("byte order", True, system["little_endian"])
    by_key = {storage.key: storage for storage in _storages_of(tensors)}
    storages = {}
    for key in keys:
        storage = by_key[key]
        size = int.from_bytes(content[at : at + 8], "little")
        _expect(f"size of storage {key}", storage.size, size)
        storages[storage] = np.frombuffer(content, storage.dtype, size, at + 8)
        at += 8 + storages[storage].nbytes
    _expect("size of the file", at, len(content))
    return tensors, storages


def _expect(what: str, expected: Any, received: Any) -> None:
    if received != expected:
        raise ValueError(f"{what}: {expected} expected, {received} received")


def _unpickle(content: bytes, start: int) -> tuple[Any, int]:
    """Returns what a pickle describes, and where it ends."""
    stream = io.BytesIO(content)
    stream.seek(start)
    for number, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        stored = argument if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") else None
        if max(number, stored or 0) > MAX_OPERATIONS:
            raise pickle.UnpicklingError(f"it has a pickle of over {MAX_OPERATIONS:,} operations")
    end = stream.tell()
    return _TensorUnpickler(io.BytesIO(content[start:end])).load(), end


def _storages_of(tensors: Any) -> set[_Storage]:
    if not (isinstance(tensors, dict) and tensors and {type(name) for name in tensors} == {str}):
        raise ValueError("it holds no dictionary of tensors")
    strangers = [name for name, each in tensors.items() if not isinstance(each, _Tensor)]
    if strangers:
        raise ValueError(f"it holds more than tensors: {strangers[0][:40]}")
    return {each.storage for each in tensors.values()}


def _view(tensor: _Tensor, storage: NDArray[Any]) -> NDArray[Any]:
    last = tensor.offset + sum(
        (length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if math.prod(tensor.shape) > storage.size or last >= storage.size:
        raise ValueError("a tensor reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(
        storage[tensor.offset :],
        tensor.shape,
        [stride * storage.itemsize for stride in tensor.strides],
    )
