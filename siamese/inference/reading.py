"""Images of any kind -> batches of one size, read by threads a batch ahead."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.datasets.samples import walk_images
from siamese.errors import InputError
from siamese.images import convert_image, read_image, resize_pixels

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any]
Images: TypeAlias = ImageLike | Iterable[ImageLike]
Progress: TypeAlias = Callable[[int, int], None]


def list_images(images: Images) -> Iterator[ImageLike]:
    """Gives the single images of what a caller may hand over, in order.

    Args:
        images: An image file, a folder (its images at any depth, sorted), a Pillow image, an array
            `(height, width, 3)` or `(images, height, width, 3)`, or any iterable of these.

    Yields:
        Files, Pillow images and arrays `(height, width, 3)`.

    Raises:
        InputError: Something is none of these, or a folder holds no image.
    """
    if isinstance(images, str | os.PathLike):
        path = Path(images)
        if path.is_dir():
            names = walk_images(path)
            if not names:
                raise InputError(f"{path}: holds no image. Give a folder of images.")
            yield from (path / name for name in names)
        else:
            yield path
    elif isinstance(images, Image.Image):
        yield images
    elif isinstance(images, np.ndarray) and images.dtype != object:
        if images.ndim not in (3, 4) or images.shape[-1] != 3:
            raise InputError(
                "an array of images must have the shape (height, width, 3) or (images, height, "
                f"width, 3), RGB 0 to 255. Received: shape {images.shape}. Reorder its axes."
            )
        yield from images if images.ndim == 4 else (images,)
    elif isinstance(images, Iterable):
        for each in images:
            yield from list_images(each)
    else:
        raise InputError(
            "images must be a path, a folder, a Pillow image, an array or an iterable of these. "
            f"Received: {type(images).__name__}."
        )


def count_images(images: Images) -> int | None:
    """How many images `list_images` will give, or None for a generator."""
    if isinstance(images, str | os.PathLike):
        return len(walk_images(Path(images))) if Path(images).is_dir() else 1
    if isinstance(images, Image.Image):
        return 1
    if isinstance(images, np.ndarray) and images.dtype != object:
        return len(images) if images.ndim == 4 else 1
    if isinstance(images, list | tuple):
        counts = [count_images(each) for each in images]
        return None if None in counts else sum(each for each in counts if each is not None)
    return None


def read_any(image: ImageLike) -> NDArray[np.uint8]:
    """Reads one image.

    Args:
        image: A file, a Pillow image or an array `(height, width, 3)`, RGB 0 to 255, of integers or
            floats (which are rounded).

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: From `siamese.images.read_image`, or the values of an array are not 0 to
            255.
    """
    if isinstance(image, Image.Image):
        return convert_image(image)
    if isinstance(image, np.ndarray):
        return _check_values(image)
    return read_image(os.fspath(image))


def _check_values(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.size == 0:
        raise InputError(f"an image must have pixels. Received: shape {image.shape}.")
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.number) or np.iscomplexobj(image):
        raise InputError(f"pixels must be numbers 0 to 255. Received: dtype {image.dtype}.")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 255):  # so that NaN is refused too
        raise InputError(f"pixels must be 0 to 255. Received: values from {low:g} to {high:g}.")
    if np.issubdtype(image.dtype, np.floating) and 0 < high <= 1:
        raise InputError(
            f"pixels must be 0 to 255. Received: floats from {low:g} to {high:g}, as if scaled to "
            "1. Multiply them by 255."
        )
    return image.round().astype(np.uint8)


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
    """
    single = list_images(images)
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:

        def read(image: ImageLike) -> NDArray[np.float32]:
            return resize_pixels(read_any(image), image_size)

        def start() -> list[Future[NDArray[np.float32]]]:
            return [pool.submit(read, each) for each in itertools.islice(single, batch_size)]

        waiting = start()
        try:
            while waiting:
                following = start()
                yield np.stack([each.result() for each in waiting])
                waiting = following
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
