"""Samples to TFRecord shards and back: one schema for the writer and the reader.

A record set is a folder with `<name>_<part>_<shard>-of-<shards>.tfrecord` files, `labels.txt`,
`data_summary.txt` and `manifest.json`. Each file is written under a temporary name and renamed; the
manifest comes last, so a set without one is a partial one.
"""

import glob
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import tensorflow as tf
from PIL import Image

from siamese.atomic import whole_file
from siamese.data.datasets import Sample, list_samples, recognise
from siamese.data.images import decode_image, read_bytes
from siamese.data.splits import SplitBy, refuse_duplicates, split_samples
from siamese.errors import InputError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
LABELS = "labels.txt"
SUMMARY = "data_summary.txt"

FEATURES: dict[str, Any] = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/format": tf.io.FixedLenFeature([], tf.string, default_value=b"jpeg"),
    "image/height": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    "image/width": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    "image/filename": tf.io.FixedLenFeature([], tf.string, default_value=b""),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    "image/class/text": tf.io.FixedLenFeature([], tf.string, default_value=b""),
    "image/camera": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    "image/tracklet": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
    "image/frame": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
}
"""The keys of a record; -1 is *not known*. What has a default may be missing."""

Progress = Callable[[int, int], None]
"""Called with the number of finished items and of all items."""


@dataclass(frozen=True)
class Shard:
    """One file: its name, its number of records and its size in bytes."""

    file: str
    records: int
    bytes: int


@dataclass(frozen=True)
class Part:
    """The training or the validation part of a record set.

    Attributes:
        images: Number of images.
        people: Number of people.
        cameras: Number of known cameras.
        tracklets: Number of known tracklets (person, camera and tracklet number together).
        images_by_label: Label to number of images.
        image_sizes: `"heightxwidth"` to number of images, the 50 commonest.
        shards: The files.
    """

    images: int
    people: int
    cameras: int
    tracklets: int
    images_by_label: dict[int, int]
    image_sizes: dict[str, int]
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    """What a record set is, as `manifest.json` says.

    Attributes:
        name: First part of the shards' names.
        dataset: The layout that the images came from, for example `market1501`.
        source: Sixteen hexadecimal digits of the names of all images and their people.
        split: Rule, share and seed of the split: `by`, `validation_size`, `random_seed`.
        parts: `train` and `validation`.
        labels: Person to label; the people of `train` have 0..C-1, in sorted order.
        schema_version: `SCHEMA_VERSION` of the writer.
    """

    name: str
    dataset: str
    source: str
    split: dict[str, Any]
    parts: dict[str, Part]
    labels: dict[str, int]
    schema_version: int = SCHEMA_VERSION


def build_records(
    dataset_dir: str | Path,
    folder: str | Path | None = None,
    *,
    name: str = "mars",
    validation_size: float = 0.3,
    num_shards: int = 1,
    random_seed: int = 0,
    split: SplitBy = "identity",
    progress: Progress | None = None,
) -> tuple[Path, Manifest, bool]:
    """Makes the record set of a dataset folder, unless it is there already.

    Args:
        dataset_dir: Any folder that `siamese.data.datasets.recognise` knows.
        folder: Where the records go; by default `records` in the dataset folder.
        name: First part of the shards' names.
        validation_size: Expected share of people (tracklets, images) in validation, in (0, 1).
        num_shards: Files for each part.
        random_seed: Seed of the split.
        split: What stays whole: "identity", "tracklet" or "image".
        progress: Called after each image.

    Returns:
        The folder of the records, the manifest, and whether they were written now.

    Raises:
        InputError: The dataset cannot be used, or the folder holds a complete set that was made
            with other arguments.
        OSError: The folder cannot be written.
    """
    if not 0 < validation_size < 1:
        raise InputError(
            f"`validation_size` must be between 0 and 1, both excluded. Received: {validation_size}"
        )
    if not name or Path(name).name != name:
        raise InputError(f"`name` must be a file name without a folder. Received: {name}")
    folder = Path(dataset_dir) / "records" if folder is None else Path(folder)
    samples = list_samples(dataset_dir, "train")
    rule = {"by": split, "validation_size": validation_size, "random_seed": random_seed}
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        asked = {"name": name, "num_shards": num_shards, **rule}
        there = {
            "name": manifest.name,
            "num_shards": len(manifest.parts["train"].shards),
            **manifest.split,
        }
        other = [f"{key} {there.get(key)} (asked: {asked[key]})" for key in asked
                 if there.get(key) != asked[key]]  # fmt: skip
        if other:
            raise InputError(
                f"{folder}: holds a complete record set made with other arguments: "
                f"{', '.join(other)}. Remove it, or give another output folder."
            )
        check_source(folder, manifest, samples)
        return folder, manifest, False
    refuse_duplicates(samples)
    train, validation = split_samples(samples, split, validation_size, random_seed)
    manifest = write_records(
        {"train": train, "validation": validation},
        folder,
        name=name,
        num_shards=num_shards,
        dataset=recognise(dataset_dir).name,
        split=rule,
        progress=progress,
    )
    return folder, manifest, True


def check_source(folder: Path, manifest: Manifest, samples: Sequence[Sample]) -> None:
    """Makes sure that a record set is of these images.

    Raises:
        InputError: It is of others: of another dataset, or images came or went since.
    """
    if manifest.source != source_digest(samples):
        raise InputError(
            f"{folder}: holds the records of other images than the dataset folder has now. Remove "
            "it to build them again, or give another folder for the records."
        )


def source_digest(samples: Sequence[Sample]) -> str:
    """Sixteen hexadecimal digits of the names of images and their people, in any order."""
    lines = sorted(f"{sample.person}/{Path(sample.path).name}" for sample in samples)
    return blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def write_records(
    parts: Mapping[str, Sequence[Sample]],
    folder: str | Path,
    *,
    name: str = "mars",
    num_shards: int = 1,
    dataset: str = "",
    split: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Writes a record set; every image is decoded once to verify it.

    Images keep their bytes when they are RGB or grey JPEG or RGB PNG; all others are stored as RGB
    PNG. Records are in an order drawn from their names, so that a reader with a small shuffle
    buffer still sees many people.

    Args:
        parts: `train` and `validation` to their samples.
        folder: Where to; made when missing. A partial set there is replaced.
        name: First part of the shards' names.
        num_shards: Files for each part.
        dataset: What the images came from, for the manifest.
        split: How the parts were split, for the manifest.
        progress: Called after each image.

    Returns:
        The manifest, as written.

    Raises:
        InputError: An image is damaged or missing, or `num_shards` is out of range. Nothing that
            looks whole is left behind.
        OSError: The disk is full or the folder may not be written; the same holds.
    """
    if num_shards < 1 or num_shards > min(len(samples) for samples in parts.values()):
        raise InputError(
            "`num_shards` must be between 1 and the images of the smaller part "
            f"({min(len(samples) for samples in parts.values())}). Received: {num_shards}"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_partial(folder, name)
    labels = _number_people(parts)
    total = sum(len(samples) for samples in parts.values())
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    written = {}
    for part, samples in parts.items():
        ordered = sorted(samples, key=_scatter)
        shards, sizes = [], Counter[str]()
        for number in range(num_shards):
            mine = ordered[number::num_shards]
            file = f"{name}_{part}_{number:05d}-of-{num_shards:05d}.tfrecord"
            _write_shard(folder / file, mine, labels, sizes, step)
            shards.append(Shard(file, len(mine), (folder / file).stat().st_size))
        written[part] = _summarise(samples, labels, sizes, shards)
    source = source_digest([sample for samples in parts.values() for sample in samples])
    manifest = Manifest(name, dataset, source, dict(split or {}), written, labels)
    by_label = sorted(labels.items(), key=lambda item: item[1])
    _write_text(folder / LABELS, "".join(f"{label}:{person}\n" for person, label in by_label))
    _write_text(folder / SUMMARY, describe(manifest))
    _write_text(folder / MANIFEST, json.dumps(asdict(manifest), indent=1, ensure_ascii=False))
    return manifest


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of a record set and checks that its shards are there, whole in size.

    Raises:
        InputError: There is no manifest, it is of another version or damaged, or a shard is missing
            or of another size.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: has schema version {version}; this program reads {SCHEMA_VERSION}. "
                "Remove the folder and build the records again."
            )
        values["parts"] = {part: _read_part(value) for part, value in values["parts"].items()}
        manifest = Manifest(**values)
    except FileNotFoundError:
        raise InputError(
            f"{folder}: holds no complete record set (no {MANIFEST}). "
            "Build it with create_tf_record.py"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is not a manifest of a record set ({error}). "
            "Remove it and build the records again."
        ) from None
    for part in manifest.parts.values():
        for shard in part.shards:
            file = folder / shard.file
            size = file.stat().st_size if file.is_file() else None
            if size != shard.bytes:
                what = "is missing" if size is None else f"has {size} bytes, not {shard.bytes}"
                raise InputError(f"{file}: {what}. Remove {path} and build the records again.")
    return manifest


def shard_paths(folder: str | Path, manifest: Manifest, part: str) -> list[str]:
    """The files of one part of a record set, in order."""
    return [str(Path(folder) / shard.file) for shard in manifest.parts[part].shards]


def describe(manifest: Manifest) -> str:
    """The data summary: a small table in plain text."""
    split = manifest.split
    lines = [
        f"record set   {manifest.name}",
        f"dataset      {manifest.dataset or 'not named'}",
        f"split        by {split.get('by', 'not known')}, "
        f"validation size {split.get('validation_size', 'not known')}, "
        f"seed {split.get('random_seed', 'not known')}",
        "",
        f"{'part':<12}{'images':>9}{'people':>9}{'cameras':>9}{'tracklets':>11}{'shards':>8}",
    ]
    for name, part in manifest.parts.items():
        lines.append(
            f"{name:<12}{part.images:>9,}{part.people:>9,}{part.cameras:>9,}"
            f"{part.tracklets:>11,}{len(part.shards):>8,}"
        )
    return "\n".join(lines) + "\n"


def _number_people(parts: Mapping[str, Sequence[Sample]]) -> dict[str, int]:
    """Labels of the training people first, in sorted order: 0..C-1 is what training classifies."""
    labels: dict[str, int] = {}
    for part in sorted(parts, key=lambda part: part != "train"):
        for person in sorted({sample.person for sample in parts[part]}):
            labels.setdefault(person, len(labels))
    return labels


def _scatter(sample: Sample) -> bytes:
    """A fixed order that has nothing to do with people or cameras."""
    return blake2b(Path(sample.path).name.encode(), digest_size=8).digest()


def _write_shard(
    path: Path,
    samples: Sequence[Sample],
    labels: Mapping[str, int],
    sizes: Counter[str],
    step: Callable[[], None],
) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with (
            tf.io.TFRecordWriter(str(temporary)) as writer,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            for sample, (data, kind, height, width) in _read_ahead(pool, samples):
                writer.write(_serialise(sample, labels[sample.person], data, kind, height, width))
                sizes[f"{height}x{width}"] += 1
                step()
        temporary.replace(path)
    except tf.errors.OpError as error:  # TensorFlow's own word for a full or read-only disk
        raise OSError(f"{path}: could not be written ({error.message})") from None
    finally:
        temporary.unlink(missing_ok=True)


Stored = tuple[bytes, bytes, int, int]


def _read_ahead(
    pool: ThreadPoolExecutor, samples: Sequence[Sample], ahead: int = 64
) -> Iterator[tuple[Sample, Stored]]:
    """Reads in parallel, hands out in order, and holds `ahead` images at most."""
    rest = iter(samples)
    waiting = [(sample, pool.submit(_load, sample.path)) for sample in islice(rest, ahead)]
    waiting.reverse()
    while waiting:
        sample, future = waiting.pop()
        yield sample, future.result()
        waiting[:0] = [(sample, pool.submit(_load, sample.path)) for sample in islice(rest, 1)]


def _load(path: str) -> Stored:
    """Reads and verifies one image: its bytes, format, height and width."""
    data = read_bytes(path)
    pixels = decode_image(data, path)
    height, width = pixels.shape[:2]
    with Image.open(io.BytesIO(data)) as image:
        kept = {("JPEG", "RGB"): b"jpeg", ("JPEG", "L"): b"jpeg", ("PNG", "RGB"): b"png"}.get(
            (image.format or "", image.mode)
        )
        turned = image.getexif().get(0x0112, 1) != 1 or "transparency" in image.info
    if kept is None or turned:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue(), b"png", height, width
    return data, kept, height, width


def _serialise(
    sample: Sample, label: int, data: bytes, kind: bytes, height: int, width: int
) -> bytes:
    texts = {
        "image/encoded": data,
        "image/format": kind,
        "image/filename": Path(sample.path).name.encode(),
        "image/class/text": sample.person.encode(),
    }
    numbers = {
        "image/height": height,
        "image/width": width,
        "image/class/label": label,
        "image/camera": sample.camera,
        "image/tracklet": sample.tracklet,
        "image/frame": sample.frame,
    }
    feature = {key: _texts(value) for key, value in texts.items()}
    feature |= {key: _numbers(value) for key, value in numbers.items()}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    serialised: bytes = example.SerializeToString(deterministic=True)
    return serialised


def _texts(value: bytes) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _numbers(value: int) -> Any:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _summarise(
    samples: Sequence[Sample],
    labels: Mapping[str, int],
    sizes: Counter[str],
    shards: list[Shard],
) -> Part:
    by_label = Counter(labels[sample.person] for sample in samples)
    tracklets = {
        (sample.person, sample.camera, sample.tracklet)
        for sample in samples
        if sample.tracklet != -1
    }
    return Part(
        images=len(samples),
        people=len(by_label),
        cameras=len({sample.camera for sample in samples} - {-1}),
        tracklets=len(tracklets),
        images_by_label=dict(sorted(by_label.items())),
        image_sizes=dict(sizes.most_common(50)),
        shards=tuple(shards),
    )


def _read_part(values: dict[str, Any]) -> Part:
    values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
    values["images_by_label"] = {int(key): n for key, n in values["images_by_label"].items()}
    return Part(**values)


def _remove_partial(folder: Path, name: str) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)
    prefix = glob.escape(name)
    for pattern in (f"{prefix}_*-of-*.tfrecord", f".{prefix}_*-of-*.tfrecord.partial"):
        for path in folder.glob(pattern):
            path.unlink()


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
