"""One way to read an image file, for the record writer, the verdict and every other stage."""

import collections
import contextlib
import io
import itertools
import logging
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from siamese.errors import InputError
from siamese.filesystem import as_path, is_remote, reaching

# Where a program has set up no log, Pillow's notes on damage would be printed.
logging.getLogger("PIL").addHandler(logging.NullHandler())

KINDS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM", "JPEG2000")
"""What an image is, by its content, for every stage. Pillow's other readers are never tried: some
of them start other programs."""

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pnm", ".jp2",
)  # fmt: skip
"""Files of these suffixes (compared in lower case) are images, perhaps damaged ones; all others are
where their first bytes say so."""

OTHER_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".psd", ".cr2", ".cr3", ".nef", ".arw", ".dng")
"""Pictures of kinds that nothing here reads, which phones, browsers and cameras make: counted."""

_BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|BM.{4}\0{4}|RIFF.{4}WEBP|GIF8[79]a|II[*+]\0|MM\0[*+]|P[1-6]\s"
    rb"|\0\0\0\x0cjP  ",
    re.DOTALL,
)

MAXIMUM_PIXELS = 50_000_000
"""Larger images are refused before they are decoded (a decompression bomb fits in a few kB)."""

ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Turns that undo each orientation. Pillow's `exif_transpose` also writes the EXIF part anew, which
a damaged one does not survive."""
_NO_IMAGE = "Remove it, copy it again, or save it as JPEG or PNG."
_DAMAGE = (OSError, SyntaxError, EOFError, IndexError, ValueError)
"""Exceptions that Pillow raises on damaged files, by format."""

READ_AHEAD = 64
"""Images that threads read or hold ready while the caller uses one."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Reads an image file of any common kind as RGB.

    Grey, palette, CMYK, 16-bit and transparent images are converted; EXIF orientation is applied.

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: There is no such file, or it is empty, truncated, not an image, or larger than
            `MAXIMUM_PIXELS`.
    """
    return decode_image(read_bytes(path), path)


def read_bytes(path: str | Path) -> bytes:
    """Reads the whole of an image file, undecoded.

    Raises:
        InputError: There is no such file, or it is a folder or may not be read.
        OSError: It is at an address that cannot be reached, or refuses access: no fault of the
            image, which may be whole.
    """
    if re.match("https?:/", str(path)):
        address = re.sub("^(https?):/+", r"\1://", str(path))
        raise InputError(
            f"{address}: is on the web, and this program fetches nothing. Download it (curl -O), "
            "and give the file."
        )
    if is_remote(path):
        with reaching(path):
            try:
                return as_path(path).read_bytes()
            except (FileNotFoundError, IsADirectoryError):
                raise InputError(f"{path}: no such file. Give the path of an image.") from None
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file. Give the path of an image.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder. Give the path of an image.") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read. Change its permissions.") from None


def decode_image(data: bytes, name: str | Path) -> NDArray[np.uint8]:
    """Decodes the bytes of a whole image file as RGB; errors call it by the name.

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: The bytes are not a whole image of at most `MAXIMUM_PIXELS`.
    """
    if not data:
        raise InputError(f"{name}: is empty (0 bytes). Remove it or copy it again.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of damage before it raises, and of a bomb from 89 M pixels on, where our
            # own limit is lower.
            warnings.filterwarnings("ignore", module="PIL")
            return convert_image(Image.open(io.BytesIO(data), formats=KINDS), name)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"{name}: has too many pixels. Give a crop of one person.") from None
    except UnidentifiedImageError:
        other = begins_like_other(data)
        kind = other and f" of a kind that is read, but {other}"
        raise InputError(f"{name}: is not an image{kind}. {_NO_IMAGE}") from None
    except _DAMAGE as error:
        raise InputError(
            f"{name}: is a damaged image ({error}). Remove it or copy it again."
        ) from None


def begins_like_image(data: bytes) -> bool:
    r"""Returns whether the first 16 bytes of a file are those of one of `KINDS`.

    Example:
        >>> begins_like_image(b"\xff\xd8\xff\xe0..."), begins_like_image(b"BMW drivers, a list")
        (True, False)
    """
    return _BEGINNINGS.match(data) is not None


def begins_like_other(data: bytes) -> str:
    r"""Names the kind of a picture that phones and browsers make and nothing here reads.

    Args:
        data: The first 12 bytes of a file, or more.

    Returns:
        "HEIC", "AVIF" or "JPEG XL"; "" where it is none of them.

    Example:
        >>> begins_like_other(b"\0\0\0\x18ftypheic"), begins_like_other(b"\xff\xd8\xff\xe0...")
        ('HEIC', '')
    """
    brand = data[4:12]
    if brand.startswith(b"ftyphe") or brand in (b"ftypmif1", b"ftypmsf1"):
        return "HEIC"
    if brand.startswith(b"ftypavi"):
        return "AVIF"
    return "JPEG XL" if data[:2] == b"\xff\x0a" or brand[:4] == b"JXL " else ""


def convert_image(image: Image.Image, name: str | Path = "image") -> NDArray[np.uint8]:
    """Turns an image of any mode that Pillow has opened into RGB; a file is decoded only now.

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: It has more than `MAXIMUM_PIXELS`; the message calls it by the name.
    """
    if image.width * image.height > MAXIMUM_PIXELS:
        raise InputError(
            f"{name}: has {image.width} x {image.height} pixels, more than "
            f"{MAXIMUM_PIXELS:,}. Give a crop of one person."
        )
    image.load()
    turn = _TURNS.get(read_exif(image, ORIENTATION))
    return _to_rgb(image if turn is None else image.transpose(turn))


def read_exif(image: Image.Image, tag: int, part: int | None = None) -> Any:
    """Reads one value of the EXIF part of an image, or of a numbered part of that.

    Returns:
        The value; None where there is none, and where the EXIF part is damaged, which harms no
        pixel.
    """
    try:
        exif = image.getexif()
        return (exif if part is None else exif.get_ifd(part)).get(tag)
    except (*_DAMAGE, KeyError, TypeError, struct.error):
        return None


def find_damaged(paths: Sequence[str]) -> dict[str, str]:
    """Reads image files and returns those that cannot be used: path to what is wrong, in words."""

    def look(path: str) -> str:
        try:
            read_image(path)
        except InputError as error:
            return str(error)
        return ""

    found = zip(paths, map_ahead(look, paths), strict=True)
    return {path: trouble for path, trouble in found if trouble}


def map_ahead(
    function: Callable[[_Item], _Answer],
    items: Iterable[_Item],
    ahead: int = READ_AHEAD,
    workers: int | None = None,
) -> Iterator[_Answer]:
    """Applies a function in threads, in order; of items, at most so many are taken ahead.

    Args:
        function: What is done.
        items: With what; a generator is never read further than `ahead`.
        ahead: How many items are worked on or wait while the caller uses an answer.
        workers: Threads; by default some more than processors, eight at most.

    Yields:
        The answers.
    """
    with ThreadPoolExecutor(workers or min(8, (os.cpu_count() or 1) + 2)) as pool:
        coming = (pool.submit(function, item) for item in items)
        waiting = collections.deque(itertools.islice(coming, ahead))
        try:
            while waiting:
                waiting.extend(itertools.islice(coming, 1))
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def naming_all_damaged(paths: Sequence[str]) -> Iterator[None]:
    """Lets an error about one image name all images that cannot be used, in one line.

    The paths are those that are read in the block; after an error they are read once more.

    Raises:
        InputError: As in the block; where it is about an image, of all of them.
    """
    try:
        yield
    except InputError as error:
        if not any(str(error).startswith(f"{path}: ") for path in paths):
            raise
        troubles = list(find_damaged([path for path in paths if not is_remote(path)]).values())
        if len(troubles) < 2:
            raise InputError(f"{error} Or leave it out: --on_corrupt skip.") from None
        raise InputError(
            f"{len(troubles):,} images cannot be used: {' '.join(troubles)} Or leave them out: "
            "--on_corrupt skip."
        ) from None


def resize_image(image: NDArray[np.uint8], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resizes as saved models and record readers do: bilinear, half-pixel centres, no smoothing.

    Args:
        image: `(height, width, 3)`, uint8.
        image_size: Height and width in pixels.

    Returns:
        `(*image_size, 3)`, uint8, rounded.

    Example:
        >>> resize_image(np.array([[[0] * 3, [100] * 3]], np.uint8), (1, 4))[0, :, 0].tolist()
        [0, 25, 75, 100]
    """
    return resize_pixels(image, image_size).round().astype(np.uint8)


def resize_pixels(image: NDArray[np.uint8], image_size: tuple[int, int]) -> NDArray[np.float32]:
    """Resizes like `resize_image`, but does not round: what a saved model computes inside.

    Returns:
        `(*image_size, 3)`, float32, 0 to 255.

    Example:
        >>> resize_pixels(np.array([[[0] * 3, [99] * 3]], np.uint8), (1, 4))[0, :, 0].tolist()
        [0.0, 24.75, 74.25, 99.0]
    """
    pixels: NDArray[np.uint8 | np.float32] = image
    for axis, size in enumerate(image_size):
        length = image.shape[axis]
        if size == length:
            continue
        places = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
        low = places.astype(np.intp)
        high = np.minimum(low + 1, length - 1)
        share = (places - low).astype(np.float32)
        share = share.reshape([-1 if other == axis else 1 for other in range(3)])
        pixels = pixels.take(low, axis) * (1 - share) + pixels.take(high, axis) * share
    return pixels.astype(np.float32, copy=False)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bits a pixel; `convert` would clip instead of scale
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return np.asarray(image.convert("RGB"))
