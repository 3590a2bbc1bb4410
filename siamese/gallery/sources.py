"""What goes into a gallery: folders, files, record sets -> images with who, where and when."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese.datasets import Sample, list_samples, recognise
from siamese.datasets.samples import JUNK_PERSONS, read_name, walk_images
from siamese.errors import InputError
from siamese.images import decode_image, read_bytes, read_exif, read_image

_RECORD = re.compile(r"\.tfrecord(\.gz)?#\d+$", re.ASCII)

AHEAD = 64
TIME_IN_NAME = re.compile(
    r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)[T_ -]?([0-2]\d)[-:.]?([0-5]\d)[-:.]?([0-5]\d)(?!\d)",
    re.ASCII,
)
EXIF_TIMES = ((0x8769, 0x9003), (None, 0x0132))  # when taken, in the EXIF part; when changed


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """An image of a gallery, or one that is to go in.

    Attributes:
        path: The image file, or a record: `shard.tfrecord#12`.
        person: Who it shows; None when not known.
        camera: The camera's number; None when not known.
        time: When it was taken, as the camera's clock said; None when not known.
        tracklet: The number of the walk past the camera; None when not known.
    """

    path: str
    person: str | None = None
    camera: int | None = None
    time: datetime | None = None
    tracklet: int | None = None


Source: TypeAlias = str | Path | Iterable[str | Path | Sample | GalleryImage]
"""A folder, a record set, a CSV file, an image file, or images one by one."""


@dataclass(frozen=True, slots=True)
class ReadImage:
    """What reading one image gave.

    Attributes:
        image: Which one, its time read from the file where it was not known.
        digest: Sixteen hexadecimal digits of its content.
        pixels: `(height, width, 3)`, uint8; None where the gallery has this content already, or the
            image cannot be used.
        error: Why it cannot be used, one sentence; "" where it can.
    """

    image: GalleryImage
    digest: str
    pixels: NDArray[np.uint8] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class RecordSet:
    """A record set as a source: its folder and the number of its images."""

    folder: Path
    images: int


def list_gallery_images(
    source: Source, *, pattern: str | None = None, anonymous: bool = False
) -> list[GalleryImage] | RecordSet:
    """Lists the images of a source.

    People, cameras and tracklets come from the folder's layout and the file names, as everywhere.
    A folder of no known layout gives all images below it, of unknown people. A dataset's
    "distractor" is an unknown person.

    Args:
        source: A folder, the folder of a record set, a CSV file, an image file, or images.
        pattern: A regular expression for names of the user's own form, as `list_samples` has it.
        anonymous: Do not read people from names.

    Returns:
        The images, paths absolute, each once; or a record set, which is read in order.

    Raises:
        InputError: There is no such folder or no image in it, or the pattern is wrong.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if (path / "manifest.json").is_file():
            from siamese.records import read_manifest

            parts = read_manifest(path).parts.values()
            return RecordSet(Path(whole_path(path)), sum(part.images for part in parts))
        images = _list_path(path, pattern)
    else:
        images = [_to_image(each) for each in source]
    if not images:
        raise InputError(f"{source}: holds no image. Give a folder of images.")
    by_path = {}
    for image in images:
        path_text = whole_path(image.path)
        person = None if anonymous else image.person
        by_path[path_text] = replace(image, path=path_text, person=person)
    return list(by_path.values())


def _list_path(path: Path, pattern: str | None) -> list[GalleryImage]:
    if path.is_file() and path.suffix.lower() != ".csv":
        return [_to_image(path)]
    try:
        layout = recognise(path, pattern)
        samples = list_samples(path, "all", pattern, unlabelled=True)
    except InputError:
        if pattern is not None or not path.is_dir():
            raise
        return [_to_image(path / name) for name in walk_images(path)]
    images = [_to_image(sample, layout.distractor_person) for sample in samples]
    if layout.name in ("folders", "mars-categories"):
        # What lies beside the folders of people, or deeper in them, is of nobody in particular.
        known, home = {image.path for image in images}, Path(layout.parts["train"])
        images += [
            _to_image(home / name)
            for name in walk_images(home)
            if str(home / name) not in known and not JUNK_PERSONS & set(Path(name).parts)
        ]
    return images


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
    images: Sequence[GalleryImage], known: Mapping[str, str]
) -> Iterator[ReadImage]:
    """Reads image files in threads, a few ahead, and hands them out in order.

    Args:
        images: Which.
        known: Path to digest of what the gallery has: content it has is not decoded.

    Yields:
        One for each image.
    """
    with ThreadPoolExecutor(thread_name_prefix="gallery") as pool:

        def start(image: GalleryImage) -> Future[ReadImage]:
            return pool.submit(read_one, image, known.get(image.path))

        rest = iter(images)
        waiting = [start(image) for image in islice(rest, AHEAD)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [start(image) for image in islice(rest, 1)]
        finally:
            for future in waiting:
                future.cancel()


def digest_of(data: bytes) -> str:
    """Sixteen hexadecimal digits of a content."""
    return blake2b(data, digest_size=8).hexdigest()


def read_one(image: GalleryImage, known: str | None = None) -> ReadImage:
    """Reads one image file; see `read_gallery_images`."""
    digest = ""
    try:
        data = read_bytes(image.path)
        digest = digest_of(data)
        if digest == known:
            return ReadImage(image, digest, None)
        pixels = decode_image(data, image.path)
    except InputError as error:
        return ReadImage(image, digest, None, str(error))
    if image.time is None:
        image = replace(image, time=read_time(Path(image.path).name) or _exif_time(data))
    return ReadImage(image, digest, pixels)


def read_records(
    records: RecordSet,
    image_size: tuple[int, int],
    known: Mapping[str, str],
    *,
    anonymous: bool = False,
    wanted: Collection[str] | None = None,
) -> Iterator[ReadImage]:
    """Reads the images of a record set, training and validation, in order.

    Args:
        records: Which.
        image_size: Height and width that images of various sizes are resized to.
        known: Path to digest of what the gallery has.
        anonymous: Do not read people.
        wanted: Paths of the images to read, no shard further than the last of them; None: all.

    Yields:
        One for each image, as `shard.tfrecord#number`.
    """
    from siamese.loader.from_records import batch_image_size
    from siamese.records import read_manifest, shard_paths

    last: dict[str, int] = {}
    for path in wanted or ():
        shard, _, number = path.rpartition("#")
        last[shard] = max(last.get(shard, 0), int(number))
    manifest = read_manifest(records.folder)
    for name, part in manifest.parts.items():
        size = batch_image_size(part, image_size)
        for shard in shard_paths(records.folder, manifest, name):
            if wanted is not None and shard not in last:
                continue
            for place, read in enumerate(_read_shard(shard, size, known, anonymous)):
                if wanted is None or read.image.path in wanted:
                    yield read
                if place == last.get(shard):
                    break


def _read_shard(
    shard: str, image_size: tuple[int, int], known: Mapping[str, str], anonymous: bool
) -> Iterator[ReadImage]:
    from siamese.loader.from_records import evaluation_batches

    number = 0
    for batch in evaluation_batches([shard], image_size=image_size, batch_size=AHEAD):
        for row, pixels in enumerate(batch.images):
            digest = digest_of(pixels.tobytes())
            path = f"{shard}#{number}"
            number += 1
            image = _to_image(
                Sample(
                    path,
                    "" if anonymous else str(batch.people[row]),
                    int(batch.cameras[row]),
                    int(batch.tracklets[row]),
                )
            )
            image = replace(image, time=read_time(str(batch.names[row])))
            fresh = known.get(path) != digest
            yield ReadImage(image, digest, pixels if fresh else None)


def read_again(images: Sequence[GalleryImage], image_size: tuple[int, int]) -> Iterator[ReadImage]:
    """Reads the images of a gallery once more, for another model.

    Args:
        images: Files and records.
        image_size: Height and width that records of various sizes are resized to.

    Yields:
        One for each image: files first, in order, then records.
    """
    yield from read_gallery_images([each for each in images if not is_record(each.path)], {})
    by_folder: dict[Path, set[str]] = {}
    for image in images:
        if is_record(image.path):
            by_folder.setdefault(Path(image.path).parent, set()).add(image.path)
    for folder, wanted in sorted(by_folder.items()):
        found = set()
        for read in read_records(RecordSet(folder, 0), image_size, {}, wanted=wanted):
            found.add(read.image.path)
            yield read
        for path in sorted(wanted - found):
            error = f"{path}: the record file has fewer records. Add the record set again."
            yield ReadImage(GalleryImage(path), "", None, error)


def whole_path(path: str | Path) -> str:
    """A path from the root on and without `..`, so that an image has one; links stay."""
    return os.path.abspath(path)  # noqa: PTH100 - `resolve` follows links


def is_record(path: str) -> bool:
    """Whether the path of a gallery's image is that of a record of a shard, counted from 0.

    Example:
        >>> is_record("mars_train_00000-of-00001.tfrecord.gz#12"), is_record("a.jpg")
        (True, False)
    """
    return _RECORD.search(path) is not None


def open_image(path: str) -> NDArray[np.uint8]:
    """Reads the pixels of one image of a gallery, for pictures.

    Args:
        path: An image file, or a record.

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: It has gone or is damaged.
    """
    if not is_record(path):
        return read_image(path)
    from siamese.records import read_manifest

    folder = Path(path).parent
    sizes = [part.image_sizes for part in read_manifest(folder).parts.values()]
    commonest = max((count, size) for part in sizes for size, count in part.items())[1]
    height, width = (int(side) for side in commonest.split("x"))
    [read] = read_again([GalleryImage(path)], (height, width))
    if read.pixels is None:
        raise InputError(read.error)
    return read.pixels


def exists(path: str) -> bool:
    """Whether the file of a gallery's image is still there."""
    return Path(path.rpartition("#")[0] if is_record(path) else path).is_file()


def read_time(name: str) -> datetime | None:
    """Reads a date and time of day from a file name.

    Args:
        name: The file's name.

    Returns:
        The time, without a time zone; None where the name has none.

    Example:
        >>> print(read_time("gate_2026-11-20_08-15-00.jpg"))
        2026-11-20 08:15:00
        >>> print(read_time("20261120T081500_0002.png"))
        2026-11-20 08:15:00
        >>> read_time("0002_c1s1_000451_03.jpg") is None
        True
    """
    match = TIME_IN_NAME.search(name)
    return _to_time([int(group) for group in match.groups()]) if match else None


def _exif_time(data: bytes) -> datetime | None:
    with Image.open(BytesIO(data)) as image:
        texts = [read_exif(image, tag, part) for part, tag in EXIF_TIMES]
    for text in texts:
        numbers = re.findall(r"\d+", str(text or ""))
        if len(numbers) == 6:
            return _to_time([int(number) for number in numbers])
    return None


def _to_time(numbers: Sequence[int]) -> datetime | None:
    year, month, day, hour, minute, second = numbers
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:  # such as 0000:00:00, of a camera that was never set
        return None
