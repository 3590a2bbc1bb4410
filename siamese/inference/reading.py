"""Images of any kind -> arrays of RGB, and batches of one size that threads read ahead."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from siamese.datasets.samples import no_image_in, walk_images
from siamese.errors import InputError
from siamese.images import convert_image, decode_image, map_ahead, read_image, resize_pixels

ImageLike: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | ArrayLike
"""A file, its bytes, an open file, a Pillow image, or an array or tensor: `(height, width)`, or
with 1, 3 or 4 channels behind; grey, RGB or RGBA, 0 to 255."""
Images: TypeAlias = ImageLike | Iterable[ImageLike]
Progress: TypeAlias = Callable[[int, int], None]


def list_images(images: Images) -> Iterator[Any]:
    """Gives the single images of what a caller may hand over, in order.

    Args:
        images: An image, a folder (its images at any depth, sorted), an array or tensor `(images,
            height, width, channels)`, an array of paths, or any iterable of these.

    Yields:
        What `read_any` takes, or refuses.

    Raises:
        InputError: A folder holds no image.
    """
    given = _to_array(images)
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        names = walk_images(path) if path.is_dir() else None
        if names == []:
            raise no_image_in(path)
        yield from [path] if names is None else (path / name for name in names)
    elif isinstance(given, np.ndarray) and given.dtype.kind in "OSU" and given.ndim == 1:
        for each in given.tolist():
            yield from list_images(os.fsdecode(each) if given.dtype.kind == "S" else each)
    elif isinstance(given, np.ndarray):
        yield from given if given.ndim == 4 else (given,)
    elif isinstance(given, Iterable) and not _is_file(given):
        for each in given:
            yield from list_images(each)
    else:
        yield given


def read_any(image: Any, name: str = "image") -> NDArray[np.uint8]:
    """Reads one image.

    Args:
        image: As `ImageLike`; numbers are integers or floats, which are rounded.
        name: What errors call an image that has no path, such as "image 3".

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: From `siamese.images.read_image`, or it is no image of a known kind.
    """
    image = _to_array(image)
    if isinstance(image, str | os.PathLike):
        return read_image(os.fspath(image))
    if isinstance(image, Image.Image):
        return convert_image(image, name)
    if isinstance(image, np.ndarray):
        return _read_array(image, name)
    data = image
    if hasattr(image, "read"):
        if getattr(image, "seekable", bool)():
            image.seek(0)  # it may have been read before
        data = image.read()
    if isinstance(data, bytes | bytearray | memoryview):
        return decode_image(bytes(data), name)
    raise InputError(
        f"{name}: must be a path, the bytes of an image file, a file opened as bytes, a Pillow "
        f"image, an array or a tensor. Received: {type(image).__name__}."
    )


def _is_file(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview | Image.Image) or hasattr(value, "read")


def _to_array(value: Any) -> Any:
    """Makes an array of a tensor of TensorFlow, JAX or PyTorch; leaves all else as it is."""
    if isinstance(value, str):  # np.str_ is one
        return str(value)
    if isinstance(value, np.ndarray | Image.Image) or not hasattr(value, "__array__"):
        return value
    if hasattr(value, "detach"):  # PyTorch's may hang on a graph, or lie on another device
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_array(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if image.dtype.kind not in "uif":
        raise InputError(f"{name}: pixels must be numbers 0 to 255. Received: dtype {image.dtype}.")
    pixels = image[..., None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise InputError(
            f"{name}: an array must have the shape (height, width), or (height, width, channels) "
            "with 1, 3 or 4 channels; batches have one axis more in front. Received: shape "
            f"{image.shape}. Reorder its axes."
        )
    if not pixels.size:
        raise InputError(f"{name}: must have pixels. Received: shape {image.shape}.")
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 255):  # so that NaN is refused too
            raise InputError(
                f"{name}: pixels must be 0 to 255. Received: values from {low:g} to {high:g}."
            )
        if pixels.dtype.kind == "f" and 0 < high <= 1:
            raise InputError(
                f"{name}: pixels must be 0 to 255. Received: floats from {low:g} to {high:g}, as "
                "if scaled to 1. Multiply them by 255."
            )
        pixels = pixels.round().astype(np.uint8)
    if pixels.shape[-1] == 4:
        return convert_image(Image.fromarray(np.ascontiguousarray(pixels)), name)
    return pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=2)


def read_batches(
    images: Images, image_size: tuple[int, int], batch_size: int
) -> Iterator[NDArray[np.float32]]:
    """Reads and resizes images in threads, a batch ahead of the caller.

    Each image is resized by itself, so that its embedding never depends on its neighbours.

    Args:
        images: As `list_images` takes them; a generator is asked for two batches at a time at most.
        image_size: Height and width in pixels.
        batch_size: Images in a batch; the last may have fewer.

    Yields:
        `(images, *image_size, 3)`, float32, 0 to 255.

    Raises:
        InputError: From `list_images` and `read_any`, with the number of the image, from 0 on.
    """

    def read(numbered: tuple[int, Any]) -> NDArray[np.float32]:
        number, image = numbered
        return resize_pixels(read_any(image, f"image {number}"), image_size)

    pixels = map_ahead(read, enumerate(list_images(images)), batch_size)
    while batch := list(itertools.islice(pixels, batch_size)):
        yield np.stack(batch)
