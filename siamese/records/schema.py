"""One record: its keys, its bytes, and the frame around it in a file. No TensorFlow here.

A record is a `tf.train.Example` (protocol buffers' wire format), a file a sequence of frames:
length (8 bytes, little-endian), masked CRC-32C of the length (4), record, masked CRC-32C of the
record (4). TensorFlow takes ten seconds to import; records need a few lines of it.
"""

import functools
import gzip
import importlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from siamese.records.manifest import UNKNOWN_LABEL

Value = bytes | int

DEFAULTS: dict[str, Value | None] = {
    "image/encoded": None,
    "image/format": b"jpeg",
    "image/height": 0,
    "image/width": 0,
    "image/filename": b"",
    "image/class/label": None,
    "image/class/text": b"",
    "image/camera": -1,
    "image/tracklet": -1,
    "image/frame": -1,
}
"""The keys of a record. What has a default may be missing; a number of -1 is *not known*."""


class DamagedRecord(Exception):  # noqa: N818 - caught inside this package, an event and not a fault
    """A file cannot be read on.

    Attributes:
        offset: Where in the file's uncompressed bytes the damaged record begins; None where no
            single record is damaged.
        reason: What is wrong with it.
    """

    def __init__(self, offset: int | None, reason: str) -> None:
        super().__init__(f"at byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason


def frame_image(
    encoded: bytes,
    file_name: str,
    image_format: bytes,
    image_size: tuple[int, int],
    label: int,
    person: str,
    camera: int = -1,
    tracklet: int = -1,
    frame_number: int = -1,
) -> bytes:
    """Serialises the record of one image with its frame, as TensorFlow writes both.

    What comes again in other images (person and camera, the sizes) is kept serialised. Threads of
    a writer wait for each other here and nowhere else.

    Args:
        encoded: The image file.
        file_name: Its name, without folders.
        image_format: `b"jpeg"` or `b"png"`.
        image_size: Height and width in pixels.
        label: Number of the person.
        person: The person as the dataset names it.
        camera: The camera's number, -1 when not known; so the next two.
        tracklet: The tracklet's number.
        frame_number: The frame's number.

    Example:
        >>> record = frame_image(b"...", "a.jpg", b"jpeg", (128, 64), 0, "0002")[12:-4]
        >>> decode_example(record)["image/filename"]
        b'a.jpg'
    """
    height, width = image_size
    # In the order of the keys, as TensorFlow writes them.
    features = b"".join(
        (
            _common_entries(
                ("image/camera", camera), ("image/class/label", label), ("image/class/text", person)
            ),
            _entries(("image/encoded", encoded), ("image/filename", file_name)),
            _common_entries(("image/format", image_format), ("image/frame", frame_number)),
            _common_entries(
                ("image/height", height), ("image/tracklet", tracklet), ("image/width", width)
            ),
        )
    )
    start, crc = _frame_start(len(features))
    return b"".join((start, features, _masked(_crc32c().extend(crc, features))))


def decode_example(record: bytes) -> dict[str, Value]:
    """Reads a serialised `tf.train.Example`: key to bytes or whole number.

    Lists give their first value, and lists of fractions are passed over.

    Raises:
        ValueError: The bytes are no `tf.train.Example`.

    Example:
        >>> decode_example(bytes.fromhex("0a190a170a0c696d6167652f666f726d617412070a050a03706e67"))
        {'image/format': b'png'}
    """
    try:
        entries = _example_class().FromString(record).features.entries
    except DecodeError:
        raise ValueError("the bytes are no tf.train.Example") from None
    lists = ((each.key, each.value.texts.items or each.value.numbers.items) for each in entries)
    return {key: values[0] for key, values in lists if values}


def open_shard(path: Path) -> io.BufferedIOBase:
    """Opens a file of records to read it, decompressed where its name ends in `.gz`."""
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")


def read_frames(file: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """Reads the records of an open, uncompressed file from its beginning.

    Yields:
        Offset of the frame in bytes, and the record.

    Raises:
        DamagedRecord: A checksum is wrong or the file ends within a record.

    Example:
        >>> file = bytes.fromhex("0300000000000000b099490e6162636e57f121")
        >>> list(read_frames(io.BytesIO(file + file)))
        [(0, b'abc'), (19, b'abc')]
    """
    offset = 0
    while head := _read(file, offset, 12):
        if len(head) < 12:
            raise DamagedRecord(offset, "the file ends within a record")
        if _checksum(head[:8]) != head[8:]:
            raise DamagedRecord(offset, "the checksum of the length is wrong")
        length = struct.unpack("<Q", head[:8])[0]
        body = _read(file, offset, length + 4)
        if len(body) < length + 4:
            raise DamagedRecord(offset, "the file ends within a record")
        if _checksum(body[:length]) != body[length:]:
            raise DamagedRecord(offset, "the checksum of the record is wrong")
        yield offset, body[:length]
        offset += length + 16


def read_examples(path: Path) -> Iterator[tuple[int, int, bytes, dict[str, Value]]]:
    """Reads the images of a file of records, compressed where its name ends in `.gz`.

    Yields:
        Offset of the frame in bytes, label, encoded image, and all values of the record.

    Raises:
        DamagedRecord: As `read_frames`; or a record is none of an image with a label.
    """
    with open_shard(path) as file:
        for offset, record in read_frames(file):
            try:
                values = decode_example(record)
            except ValueError as error:
                raise DamagedRecord(offset, str(error)) from None
            label, encoded = values.get("image/class/label"), values.get("image/encoded")
            if (
                not isinstance(label, int)
                or label < UNKNOWN_LABEL
                or not isinstance(encoded, bytes)
            ):
                raise DamagedRecord(offset, "the record lacks its image or its label")
            yield offset, label, encoded, values


def _read(file: io.BufferedIOBase, offset: int, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, OSError, zlib.error) as error:  # what gzip raises on damaged files
        raise DamagedRecord(offset, f"cannot be read ({error})") from None


@functools.cache
def _crc32c() -> Any:
    """Returns the module, which a program that only asks for a folder's kind does without."""
    return importlib.import_module("google_crc32c")


def _checksum(data: bytes) -> bytes:
    return _masked(_crc32c().value(data))


def _masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _entries(*values: tuple[str, Value | str]) -> bytes:
    """Keys and values, as they are in a record."""
    features = _example_class()().features
    for key, value in values:
        feature = features.entries.add(key=key).value
        if isinstance(value, int):
            feature.numbers.items.append(value)
        else:
            feature.texts.items.append(value.encode() if isinstance(value, str) else value)
    return bytes(features.SerializeToString())


# People, cameras, sizes and lengths come again and again.
_common_entries = functools.lru_cache(maxsize=65_536)(_entries)


@functools.lru_cache(maxsize=65_536)
def _frame_start(size: int) -> tuple[bytes, int]:
    """All that comes before the entries of a record of so many bytes, and the checksum so far."""
    start, left = b"\n", size  # then the size, seven bits a byte, the lowest first
    while left > 0x7F:
        start, left = start + bytes([left & 0x7F | 0x80]), left >> 7
    start += bytes([left])
    length = struct.pack("<Q", len(start) + size)
    return length + _checksum(length) + start, _crc32c().value(start)


@functools.cache
def _example_class() -> Any:
    """The message `tf.train.Example`, less its lists of fractions, which are passed over."""
    field = descriptor_pb2.FieldDescriptorProto
    messages = {
        "Texts": [("items", 1, field.TYPE_BYTES, True)],
        "Numbers": [("items", 1, field.TYPE_INT64, True)],
        "Feature": [("texts", 1, "Texts", False), ("numbers", 3, "Numbers", False)],
        "Entry": [("key", 1, field.TYPE_STRING, False), ("value", 2, "Feature", False)],
        "Features": [("entries", 1, "Entry", True)],
        "Example": [("features", 1, "Features", False)],
    }
    file = descriptor_pb2.FileDescriptorProto(name="example", package="siamese", syntax="proto3")
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            each = described.field.add(name=name, number=number)
            each.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if isinstance(kind, str):
                each.type, each.type_name = field.TYPE_MESSAGE, f".siamese.{kind}"
            else:
                each.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("siamese.Example"))
