"""Images in memory: training and evaluation without records, and without TensorFlow.

For sets that fit into memory (24 kB an image of 128x64 pixels), and for machines that have JAX
alone.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siamese.datasets import Sample
from siamese.datasets.triplets import name_image, place_triplets
from siamese.errors import InputError
from siamese.images import map_ahead, read_image, resize_image
from siamese.sampler import RowSampler
from siamese.vectors import mix_person_means

Pixels = NDArray[np.uint8]
Batch = tuple[Pixels, NDArray[np.int32]] | tuple[Pixels, NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True)
class LabelledImages:
    """Images and what is known of each: all that there are, or a batch of them.

    Attributes:
        images: `(images, height, width, 3)`, uint8.
        labels: `(images,)`, int64.
        people: `(images,)`, text.
        cameras: `(images,)`, int64; -1 is not known.
        tracklets: `(images,)`, int64; -1 is not known.
        names: `(images,)`, file names, text.
    """

    images: Pixels
    labels: NDArray[np.int64]
    people: NDArray[np.str_]
    cameras: NDArray[np.int64]
    tracklets: NDArray[np.int64]
    names: NDArray[np.str_]

    def batches(self, batch_size: int = 64) -> Iterator["LabelledImages"]:
        """Yields every image once, in order; the last batch may be short."""
        for start in range(0, len(self.images), batch_size):
            rows = slice(start, start + batch_size)
            yield LabelledImages(**{name: value[rows] for name, value in vars(self).items()})


def read_images(
    samples: Sequence[Sample],
    *,
    image_size: tuple[int, int],
    labels: Mapping[str, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Reads the image files of samples into memory, with several threads.

    Args:
        samples: What `siamese.datasets.list_samples` gives, or a side of a split.
        image_size: Height and width of the model's input, in pixels. Images that are of one size,
            and smaller, stay at it (`kept_size`); the model resizes them.
        labels: The number of each person; by default 0..C-1 in the sorted order of people, and -1
            for unknown ones ("").
        progress: Called with the images done and all images.

    Returns:
        The images, in the order of the samples.

    Raises:
        InputError: There is no sample, or an image is missing or damaged.
    """
    if not samples:
        raise InputError("`samples` must hold at least one image. Received none.")
    if labels is None:
        people = sorted({sample.person for sample in samples} - {""})
        labels = {"": -1, **{name: label for label, name in enumerate(people)}}

    def read(sample: Sample) -> Pixels:
        image = read_image(sample.path)
        if image.shape[0] > image_size[0] or image.shape[1] > image_size[1]:
            return resize_image(image, image_size)
        return image

    found: list[Pixels] = []
    for image in map_ahead(read, samples, workers=os.cpu_count()):
        found.append(image)
        if progress is not None:
            progress(len(found), len(samples))
    size = kept_size({image.shape[:2] for image in found}, image_size)
    images = np.empty((len(found), *size, 3), np.uint8)
    for row in range(len(found)):
        image, found[row] = found[row], images[row]  # each is held once
        images[row] = image if image.shape[:2] == size else resize_image(image, size)
    return LabelledImages(
        images=images,
        labels=np.array([labels[sample.person] for sample in samples], np.int64),
        people=np.array([sample.person for sample in samples], np.str_),
        cameras=np.array([sample.camera for sample in samples], np.int64),
        tracklets=np.array([sample.tracklet for sample in samples], np.int64),
        names=np.array([Path(sample.path).name for sample in samples], np.str_),
    )


def kept_size(sizes: Iterable[tuple[int, ...]], image_size: tuple[int, int]) -> tuple[int, int]:
    """Returns the size that images are handled at before the model resizes them.

    Crops of one size, smaller than the model's, stay at it: fewer bytes to augment.

    Args:
        sizes: All heights and widths that there are, in pixels.
        image_size: Height and width of the model's input.

    Example:
        >>> kept_size({(128, 64)}, (256, 128)), kept_size({(128, 64), (60, 30)}, (256, 128))
        ((128, 64), (256, 128))
    """
    only = set(sizes)
    if len(only) == 1:
        height, width = only.pop()
        if height <= image_size[0] and width <= image_size[1]:
            return height, width
    return image_size


def array_batches(
    data: LabelledImages,
    *,
    taught: NDArray[np.float32] | None = None,
    person_share: float = 0.0,
    triplets: Sequence[Sequence[str]] = (),
    first_epoch: int = 0,
    **options: Any,
) -> tuple[Iterator[Batch], int]:
    """Returns endless batches of images and labels, in epochs, for `fit` on any backend.

    The arguments are those of `siamese.loader.from_records.train_batches`, of images that
    `read_images` gives, with labels 0..C-1, and -1 for unknown people; and the `triplets` where
    `sampler` is `triplets`, as `siamese.datasets.triplets.kept_triplets` gives them; by default
    they are drawn.

    Returns:
        Batches of images `(rows, height, width, 3)` uint8, labels `(rows,)` int32 and, where they
        are taught, embeddings, without end; and the number of batches in an epoch.

    Raises:
        InputError: As `RowSampler`.
    """
    placed = None
    if options.get("sampler") == "triplets" and len(triplets):
        names = [name_image(*both) for both in zip(data.people, data.names, strict=True)]
        placed = place_triplets(triplets, names)
    if taught is not None and person_share:
        taught = mix_person_means(taught, data.labels, data.cameras, person_share)
    sampler = RowSampler(data.labels, data.cameras, triplets=placed, **options)

    def endless() -> Iterator[Batch]:
        for rows in sampler.endless(first_epoch):
            batch = data.images[rows], data.labels[rows].astype(np.int32)
            yield batch if taught is None else (*batch, taught[rows])

    return endless(), sampler.steps
