"""Images to one shard: read, verify, serialise, in parallel. No TensorFlow here.

Every function here works alike in a thread of this process and in a task on a cluster.
"""

import functools
import hashlib
import importlib
import io
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from siamese.datasets import Sample
from siamese.errors import InputError, OnCorrupt
from siamese.files import whole_file
from siamese.filesystem import as_path, is_remote, make_folder, read_each
from siamese.images import (
    MAXIMUM_PIXELS,
    ORIENTATION,
    decode_image,
    map_ahead,
    read_bytes,
    read_exif,
)
from siamese.records.manifest import Shard, Skipped
from siamese.records.schema import frame_image

BUILDING = ".building"
"""Folder of what is not finished, in the folder of the records."""

_SCAN = b"\xff\xda"  # after it come the pixels of a JPEG file
_MARKS = (b"Exif\0", b"http://ns.adobe.com/xap/", b"MPF\0")
_IMAGES_AT_ONCE = 128
_BYTES_AT_ONCE = 4 * 2**20
_REMOTE_WORKERS = 4


@dataclass(frozen=True)
class ShardJob:
    """Describes what one shard is to hold.

    Attributes:
        path: The file, with its folder.
        samples: Its images, in order.
        labels: The label of each.
        sizes: The size of each file in bytes, 0 where it is not known: images are worked on in
            groups of some 4 MB.
        on_corrupt: What a damaged image does: "error" ends the writing, "skip" leaves it out.
        verify: Decode every image. Without it damaged images go into the records.
        digest: Of all that its bytes depend on.
    """

    path: str
    samples: tuple[Sample, ...]
    labels: tuple[int, ...]
    sizes: tuple[int, ...]
    on_corrupt: OnCorrupt = "error"
    verify: bool = True
    digest: str = ""

    @property
    def file(self) -> str:
        """Returns the name of the file."""
        return Path(self.path).name


@dataclass(frozen=True)
class WrittenShard:
    """Describes one shard: itself, `"heightxwidth"` to number of images, what was left out."""

    shard: Shard
    image_sizes: dict[str, int]
    skipped: tuple[Skipped, ...] = ()


def write_shard(
    job: ShardJob, workers: int = 1, step: Callable[[int], None] | None = None
) -> WrittenShard:
    """Writes one shard; its bytes depend on the job alone.

    Args:
        job: What it is to hold. A name that ends in `.gz` is compressed.
        workers: Threads that read, verify and serialise; at least four for images at addresses,
            which are mostly waited for.
        step: Called with the number of images done since the last call.

    Returns:
        What was written. The file has its name only once it is whole.

    Raises:
        InputError: An image is damaged or missing, and the job does not skip such.
        OSError: The file cannot be written.
    """
    path = as_path(job.path)
    # Two writers of one set write the same bytes: each under a name of its own, the last one wins.
    temporary = path.parent / BUILDING / f"{path.name}.{os.getpid()}.partial"
    make_folder(temporary.parent)
    if any(is_remote(sample.path) for sample in job.samples):
        workers = max(workers, _REMOTE_WORKERS)
    checksum, size = hashlib.sha256(), 0
    shapes = Counter[tuple[int, int]]()
    skipped: list[Skipped] = []
    blocks = map_ahead(lambda rows: _make_block(job, rows), _divide(job), workers + 2, workers)
    with whole_file(path, temporary), temporary.open("wb") as file:
        for data, found, left_out in blocks:
            file.write(data)
            checksum.update(data)
            size += len(data)
            shapes.update(found)
            skipped += left_out
            if step is not None:
                step(len(found) + len(left_out))
    shard = Shard(path.name, shapes.total(), size, checksum.hexdigest())
    sizes = {f"{height}x{width}": count for (height, width), count in sorted(shapes.items())}
    return WrittenShard(shard, sizes, tuple(skipped))


def load_image(path: str, verify: bool = True) -> tuple[bytes, bytes, int, int]:
    """Reads one image file as it goes into a record; verifying decodes it, to see that it is whole.

    The bytes of RGB and grey JPEG and of RGB PNG stay as they are; all others become RGB PNG, and
    so do files that are damaged where Pillow does not mind, but TensorFlow does.

    Returns:
        The bytes, the format (`jpeg` or `png`), height and width in pixels.

    Raises:
        InputError: The file is missing, damaged or no image.
    """
    data = read_bytes(path)
    size = _size_of_plain_jpeg(data)
    if size is not None and (not verify or _is_whole_jpeg(data)):
        return data, b"jpeg", *size
    pixels = decode_image(data, path)
    height, width = pixels.shape[:2]
    with Image.open(io.BytesIO(data)) as image:
        kept = {("JPEG", "RGB"): b"jpeg", ("JPEG", "L"): b"jpeg", ("PNG", "RGB"): b"png"}.get(
            (image.format or "", image.mode)
        )
        turned = read_exif(image, ORIENTATION) not in (None, 1) or "transparency" in image.info
    if kept is None or turned or not (_is_whole_jpeg if kept == b"jpeg" else _is_whole_png)(data):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue(), b"png", height, width
    return data, kept, height, width


def _size_of_plain_jpeg(data: bytes) -> tuple[int, int] | None:
    """Height and width of nearly all crops; None where Pillow has to have a closer look."""
    scan = data.find(_SCAN)
    header = data[: scan + len(_SCAN) + int.from_bytes(data[scan + 2 : scan + 4])]
    # Exif and XMP may say that the image is turned, and MPF that there are several.
    if scan < 0 or not data.startswith(b"\xff\xd8") or any(mark in header for mark in _MARKS):
        return None
    try:
        # A header that only seems to end here, within a thumbnail, is not read: it is cut off.
        height, width, colours, _ = _simplejpeg().decode_jpeg_header(header)
    except ValueError:
        return None
    if colours not in ("YCbCr", "RGB", "Gray") or height * width > MAXIMUM_PIXELS:
        return None
    return height, width


@functools.cache
def _simplejpeg() -> Any:
    """Returns the module, which a program that only asks for a folder's kind does without."""
    return importlib.import_module("simplejpeg")


def _is_whole_jpeg(data: bytes) -> bool:
    """Returns whether it can be decoded without a complaint.

    Decoding to an eighth of the size reads every bit of the file, which is where damage shows, and
    leaves out the transform and the colours, which cannot fail.
    """
    try:
        _simplejpeg().decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError:
        return False
    return True


def _is_whole_png(data: bytes) -> bool:
    """Returns whether all chunks up to the last one are there, with their checksums."""
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return False
        if data[place + 4 : place + 8] == b"IEND":
            return True
        place = end
    return False


def _divide(job: ShardJob) -> Iterator[slice]:
    """Divides a job into pieces of some 128 images, or fewer where they are large."""
    first, weight = 0, 0
    for last, size in enumerate(job.sizes, start=1):
        weight += size
        if last in (first + _IMAGES_AT_ONCE, len(job.sizes)) or weight > _BYTES_AT_ONCE:
            yield slice(first, last)
            first, weight = last, 0


def _make_block(job: ShardJob, rows: slice) -> tuple[bytes, list[tuple[int, int]], list[Skipped]]:
    """The frames of some records as they go into the file, their sizes, and what was skipped."""
    # Step by step for all images, not image by image: reading and decoding let other threads run,
    # and those that ask for Python's lock in between, at each image, mostly wait to be woken up.
    samples = job.samples[rows]
    # What cannot be read here is read once more below, where the error is told.
    files = [data or b"" for data in read_each([sample.path for sample in samples])]
    plain = [_size_of_plain_jpeg(data) for data in files]
    if job.verify:
        plain = [
            size if size is not None and _is_whole_jpeg(data) else None
            for data, size in zip(files, plain, strict=True)
        ]
    frames: list[bytes] = []
    shapes: list[tuple[int, int]] = []
    skipped: list[Skipped] = []
    for sample, label, data, size in zip(samples, job.labels[rows], files, plain, strict=True):
        try:
            data, kind, height, width = (
                load_image(sample.path, job.verify) if size is None else (data, b"jpeg", *size)
            )
        except InputError as error:
            if job.on_corrupt == "error":
                raise
            skipped.append(Skipped(sample.path, str(error)))
            continue
        name = os.path.basename(sample.path)  # noqa: PTH119 - speed
        owner = label, sample.person, sample.camera, sample.tracklet, sample.frame
        frames.append(frame_image(data, name, kind, (height, width), *owner))
        shapes.append((height, width))
    joined = b"".join(frames)
    if job.path.endswith(".gz"):
        # One gzip member a block (RFC 1952 lets members follow one another), without a time.
        joined = zlib.compress(joined, wbits=31)
    return joined, shapes, skipped
