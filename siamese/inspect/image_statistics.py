"""Statistics of the images of a dataset, and pairs that look almost the same."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.datasets.splits import hash_content
from siamese.errors import InputError
from siamese.filesystem import is_remote
from siamese.images import decode_image, map_ahead, read_bytes

NEAR_BITS = 8
"""Images whose hashes differ in at most so many of the 128 bits are near-duplicates.

Copies of Market-1501's crops that were saved again as JPEG of quality 50 to 90, resized to 96x48 or
256x128, or brightened by a tenth differ in at most 8 bits (99 of 100 of each kind, 300 crops).
Images of different people differ in at least 16 (10,355 crops), drawn pedestrians in at least 10.
"""

MOST_COMPARED = 40_000
"""More images than this are not compared pair by pair (its square is some seconds of work)."""

MOST_PAIRS = 1000
"""More pairs of images that look almost the same are not searched for."""


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Describes an image file.

    Attributes:
        content: Hash of the file's bytes, empty when it could not be read.
        size: (height, width) in pixels, (0, 0) when it could not be read.
        mode: Pillow's name of the stored mode, such as "RGB" or "L".
        perceptual: 128 bits that tell where brightness rises from left to right, as two uint64.
        trouble: Why it could not be read, empty when it could.
    """

    content: bytes
    size: tuple[int, int]
    mode: str
    perceptual: tuple[int, int]
    trouble: str = ""


def measure_image(path: str | Path) -> ImageStatistics:
    """Reads one image file: what it is, or why it could not be read.

    Raises:
        OSError: It is at an address that cannot be reached.
    """
    try:
        data = read_bytes(path)
        image = decode_image(data, path)
        with Image.open(io.BytesIO(data)) as stored:
            mode = stored.mode
    except (InputError, OSError) as error:
        if is_remote(path) and isinstance(error, OSError):
            raise  # the network, not the image
        return ImageStatistics(b"", (0, 0), "", (0, 0), str(error))
    return ImageStatistics(hash_content(data), image.shape[:2], mode, perceptual_hash(image))


def measure_images(
    paths: Sequence[str], progress: Callable[[int, int], None] | None = None
) -> dict[str, ImageStatistics]:
    """Reads image files in threads (Pillow decodes outside Python's lock): statistics by path.

    Progress is told in the caller's thread as (done, total), now and then and at the end.
    """
    found: dict[str, ImageStatistics] = {}
    # Those at an address are mostly waited for.
    workers = 32 if any(map(is_remote, paths)) else None
    measured = map_ahead(measure_image, paths, workers=workers)
    for path, statistics in zip(paths, measured, strict=True):
        found[path] = statistics
        if progress and (len(found) % 100 == 0 or len(found) == len(paths)):
            progress(len(found), len(paths))
    return found


def perceptual_hash(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Hashes what an image looks like: small changes of the image change few bits.

    It is the difference hash (Krawetz 2013) on 16 x 9 grey cells, the shape of a pedestrian: a bit
    is 1 where a cell is brighter than the one left of it. Its few lines stand here rather than the
    package imagehash, which would bring PyWavelets along.

    Args:
        image: RGB pixels, `(height, width, 3)`, uint8.

    Returns:
        128 bits as two unsigned 64-bit numbers.

    Example:
        >>> rising = np.repeat(np.arange(0, 90, 10, dtype=np.uint8)[None, :, None], 16, axis=0)
        >>> perceptual_hash(np.repeat(rising, 3, axis=2)) == (2**64 - 1, 2**64 - 1)
        True
        >>> perceptual_hash(np.zeros((128, 64, 3), np.uint8))
        (0, 0)
    """
    grey = Image.fromarray(image).convert("L").resize((9, 16), Image.Resampling.BOX)
    cells = np.asarray(grey)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    return int.from_bytes(bits[:8].tobytes(), "big"), int.from_bytes(bits[8:].tobytes(), "big")


def near_pairs(
    hashes: NDArray[np.uint64], people: NDArray[np.intp], most: int = MOST_PAIRS
) -> list[tuple[int, int]]:
    """Finds pairs of different people whose images are almost the same.

    Args:
        hashes: Perceptual hashes, `(images, 2)`, uint64.
        people: A number a person, `(images,)`.
        most: Stop after so many pairs.

    Returns:
        Pairs of rows, the smaller first, whose hashes differ in at most `NEAR_BITS` bits.

    Example:
        >>> hashes = np.array([[0, 0], [7, 0], [7, 1]], dtype=np.uint64)
        >>> near_pairs(hashes, np.array([0, 1, 1]))
        [(0, 1), (0, 2)]
    """
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), 256):
        block = hashes[start : start + 256]
        rest = hashes[start:]
        bits = np.bitwise_count(block[:, None, 0] ^ rest[None, :, 0])
        bits += np.bitwise_count(block[:, None, 1] ^ rest[None, :, 1])
        near = (bits <= NEAR_BITS) & (people[start : start + 256, None] != people[None, start:])
        for row, column in np.argwhere(near).tolist():
            if row < column:
                pairs.append((start + row, start + column))
        if len(pairs) >= most:
            return pairs[:most]
    return pairs
