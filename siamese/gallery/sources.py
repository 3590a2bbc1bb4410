"""Folders, files and record sets -> images for a gallery, with who, where and when."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.datasets import (
    Coverage,
    Layout,
    PeopleUnclearError,
    Sample,
    list_samples,
    measure_coverage,
    recognise,
)
from siamese.datasets.samples import JUNK_PERSONS, no_image_in, read_name, walk_images
from siamese.datasets.tables import TABLE_SUFFIXES
from siamese.errors import InputError
from siamese.images import decode_image, map_ahead, read_bytes, read_exif, read_image

logger = logging.getLogger(__name__)

_RECORD = re.compile(r"\.tfrecord(\.gz)?#\d+$", re.ASCII)

TIME_IN_NAME = re.compile(
    r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)[T_ -]?([0-2]\d)[-:.]?([0-5]\d)[-:.]?([0-5]\d)(?!\d)",
    re.ASCII,
)
EXIF_TIMES = ((0x8769, 0x9003), (None, 0x0132))  # when taken, in the EXIF part; when changed


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """An image of a gallery, or one that is to go in; None is what is not known.

    Attributes:
        path: The image file, or a record: `shard.tfrecord#12`.
        time: When it was taken, as the camera's clock said.
        tracklet: The number of the walk past the camera.
    """

    path: str
    person: str | None = None
    camera: int | None = None
    time: datetime | None = None
    tracklet: int | None = None


GallerySource: TypeAlias = str | Path | Iterable[str | Path | Sample | GalleryImage]
"""A folder, a record set, a CSV file, an image file, or images one by one."""


@dataclass(frozen=True, slots=True)
class ReadImage:
    """The outcome of reading one image.

    Attributes:
        image: Which one, with what reading told of it: of a file the time, of a record all.
        digest: Sixteen hexadecimal digits of its content.
        pixels: `(height, width, 3)`, uint8; None where the gallery has this content already, or the
            image cannot be used.
        error: Why it cannot be used, one sentence; "" where it can.
    """

    image: GalleryImage
    digest: str
    pixels: NDArray[np.uint8] | None
    error: str = ""


def list_gallery_images(source: GallerySource, *, pattern: str | None = None) -> list[GalleryImage]:
    """Lists the images of a source.

    People, cameras and tracklets come from the folder's layout and the file names, as everywhere.
    A folder of no known layout gives all images below it, of unknown people. A dataset's
    "distractor" is an unknown person. What is known of records is in them, and comes with reading.

    Args:
        source: A folder, the folder of a record set, a CSV file, an image file, or images.
        pattern: A regular expression for names of the user's own form, as `list_samples` has it.

    Returns:
        The images, paths absolute, each once.

    Raises:
        InputError: There is no such folder or no image in it, or the pattern is wrong.
    """
    if isinstance(source, str | Path):
        return _each_once(source, _list_path(Path(source), pattern)[0])
    return _each_once(source, map(_to_image, source))


def list_covered(
    source: Path, *, pattern: str | None = None
) -> tuple[list[GalleryImage], Coverage | None]:
    """Lists the images at a path, as `list_gallery_images`, and counts those of a folder.

    Returns:
        The images; and how many the folder holds, None for record sets and files.
    """
    images, layout = _list_path(source, pattern)
    found = _each_once(source, images)
    if not source.is_dir() or (source / "manifest.json").is_file():
        return found, None
    return found, measure_coverage(source, layout, (image.path for image in images))


def _each_once(source: GallerySource, images: Iterable[GalleryImage]) -> list[GalleryImage]:
    by_path = {(path := whole_path(each.path)): replace(each, path=path) for each in images}
    if not by_path:
        if isinstance(source, str | Path):
            raise no_image_in(source)
        raise InputError(f"{source}: holds no image. Give one at least.")
    return list(by_path.values())


def _list_path(path: Path, pattern: str | None) -> tuple[list[GalleryImage], Layout | None]:
    if (path / "manifest.json").is_file():
        from siamese.records import read_manifest

        shards = [each for part in read_manifest(path).parts.values() for each in part.shards]
        files = [(f"{path / each.file}", each.records) for each in shards]
        return [
            GalleryImage(f"{file}#{n}") for file, records in files for n in range(records)
        ], None
    if path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES:
        return [_to_image(path)], None
    layout = None
    try:
        layout = recognise(path, pattern)
        samples = list_samples(layout, "all", unlabelled=True)
    except InputError as error:
        if pattern is not None or isinstance(error, PeopleUnclearError) or not path.is_dir():
            raise
        return [_to_image(path / name) for name in walk_images(path)], layout
    images = [_to_image(sample, layout.distractor_person) for sample in samples]
    if layout.of_identities:
        # What lies beside the folders of people, or deeper in them, is of nobody in particular.
        known = {image.path for image in images}
        images += [
            _to_image(Path(home) / name)
            for home in layout.parts.values()
            for name in walk_images(home)
            if str(Path(home) / name) not in known and not JUNK_PERSONS & set(Path(name).parts)
        ]
    return images, layout


def _to_image(
    image: str | Path | Sample | GalleryImage, distractor: str | None = None
) -> GalleryImage:
    if isinstance(image, GalleryImage):
        return image
    if not isinstance(image, Sample):
        read = read_name(Path(image).name)
        image = Sample(str(image), "") if read is None else replace(read, path=str(image))
    return GalleryImage(
        image.path,
        None if image.person in ("", distractor) else image.person,
        None if image.camera < 0 else image.camera,
        None,
        None if image.tracklet < 0 else image.tracklet,
    )


def read_gallery_images(
    images: Sequence[GalleryImage], *, known: Mapping[str, str] | None = None
) -> Iterator[ReadImage]:
    """Reads image files, and then records, in threads that are a few images ahead.

    Args:
        images: Files and records.
        known: Path to digest of what the gallery has: a file with this content is not decoded.

    Yields:
        One for each image: files in order, then records in the order of their shards.

    Raises:
        InputError: A record file is damaged.
    """
    known = known or {}
    shards: dict[str, set[int]] = defaultdict(set)
    files = []
    for image in images:
        shard, _, number = image.path.rpartition("#")
        if is_record(image.path):
            shards[shard].add(int(number))
        else:
            files.append(image)
    yield from map_ahead(lambda image: _read_file(image, known.get(image.path)), files)
    for shard, numbers in shards.items():
        yield from _read_shard(shard, numbers, known)


def _read_file(image: GalleryImage, known: str | None) -> ReadImage:
    digest = ""
    try:
        data = read_bytes(image.path)
        digest = digest_of(data)
        pixels = None if digest == known else decode_image(data, image.path)
    except InputError as error:
        return ReadImage(image, digest, None, str(error))
    if image.time is None and pixels is not None:
        image = replace(image, time=read_time(Path(image.path).name) or _exif_time(data))
    return ReadImage(image, digest, pixels)


def _read_shard(
    shard: str, numbers: Collection[int], known: Mapping[str, str]
) -> Iterator[ReadImage]:
    """Reads some records of a shard, counted from 0, in order."""
    from siamese.records.schema import DEFAULTS, DamagedRecord, read_examples

    def read(numbered: tuple[int, tuple[Any, ...]]) -> ReadImage:
        number, (*_, encoded, found) = numbered
        values = {**DEFAULTS, **found}
        path = f"{shard}#{number}"
        person, name = (values[key].decode() for key in ("image/class/text", "image/filename"))
        image = _to_image(Sample(path, person, values["image/camera"], values["image/tracklet"]))
        image = replace(image, time=read_time(name))
        try:
            pixels = decode_image(encoded, path)
        except InputError as error:
            return ReadImage(image, "", None, str(error))
        digest = digest_of(pixels.tobytes())
        return ReadImage(image, digest, None if digest == known.get(path) else pixels)

    examples = enumerate(islice(read_examples(Path(shard)), max(numbers) + 1))
    left = set(numbers)
    try:
        for done in map_ahead(read, (each for each in examples if each[0] in numbers)):
            left.remove(int(done.image.path.rpartition("#")[2]))
            yield done
    except FileNotFoundError:
        raise InputError(f"{shard}: no such file. Copy it back, or add the set again.") from None
    except DamagedRecord as error:
        raise InputError(
            f"{shard}: a record is damaged ({error}). Build the records again."
        ) from None
    for number in sorted(left):
        image = GalleryImage(f"{shard}#{number}")
        reason = f"{image.path}: the record file has fewer records. Add the record set again."
        yield ReadImage(image, "", None, reason)


def digest_of(data: bytes) -> str:
    """Returns sixteen hexadecimal digits of a content."""
    return blake2b(data, digest_size=8).hexdigest()


def whole_path(path: str | Path) -> str:
    """Writes a path from the root on and without `..`, so that an image has one; links stay."""
    return os.path.abspath(path)  # noqa: PTH100 - `resolve` follows links


def is_record(path: str) -> bool:
    """Returns whether the path of a gallery's image is that of a record, counted from 0.

    Example:
        >>> is_record("mars_train_00000-of-00001.tfrecord.gz#12"), is_record("a.jpg")
        (True, False)
    """
    return _RECORD.search(path) is not None


def open_image(path: str) -> NDArray[np.uint8]:
    """Reads the pixels of one image of a gallery, a file or a record: `(height, width, 3)`, uint8.

    Raises:
        InputError: It has gone or is damaged.
    """
    if not is_record(path):
        return read_image(path)
    [read] = read_gallery_images([GalleryImage(path)])
    if read.pixels is None:
        raise InputError(read.error)
    return read.pixels


def open_or_blank(path: str) -> NDArray[np.uint8]:
    """Reads the pixels of one image for a picture, a grey one where its file has gone."""
    try:
        return open_image(path)
    except InputError as error:
        logger.warning("%s A grey picture stands for it.", error)
        return np.full((128, 64, 3), 160, np.uint8)


def exists(path: str) -> bool:
    """Returns whether the file of a gallery's image is still there."""
    return Path(path.rpartition("#")[0] if is_record(path) else path).is_file()


def read_time(name: str) -> datetime | None:
    """Reads a date and time of day, without a time zone, from a file name; None where it has none.

    Example:
        >>> print(read_time("gate_2026-11-20_08-15-00.jpg"))
        2026-11-20 08:15:00
        >>> print(read_time("20261120T081500_0002.png"))
        2026-11-20 08:15:00
        >>> read_time("0002_c1s1_000451_03.jpg") is None
        True
    """
    match = TIME_IN_NAME.search(name)
    return _to_time(match.groups()) if match else None


def _exif_time(data: bytes) -> datetime | None:
    with Image.open(BytesIO(data)) as image:
        texts = [read_exif(image, tag, part) for part, tag in EXIF_TIMES]
    found = (re.findall(r"\d+", str(text or "")) for text in texts)
    return next((_to_time(numbers) for numbers in found if len(numbers) == 6), None)


def _to_time(numbers: Sequence[str]) -> datetime | None:
    year, month, day, hour, minute, second = map(int, numbers)
    with suppress(ValueError):  # such as 0000:00:00, of a camera that was never set
        return datetime(year, month, day, hour, minute, second)
    return None
